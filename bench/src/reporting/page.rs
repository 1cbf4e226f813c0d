//! The page: one file of HTML with its style, its script and the JSON inside. It asks the network for
//! nothing, and says so to the browser.

use crate::Failure;
use crate::bench::Report;

const TEMPLATE: &str = include_str!("page/page.html");
const STYLE: &str = include_str!("page/style.css");
/// In the order in which they need each other.
const SCRIPTS: [&str; 7] = [
    include_str!("page/tools.js"),
    include_str!("page/model.js"),
    include_str!("page/roofline.js"),
    include_str!("page/bars.js"),
    include_str!("page/lines.js"),
    include_str!("page/tables.js"),
    include_str!("page/main.js"),
];

/// A report as a page.
///
/// # Errors
/// None of a report that was measured: numbers that JSON does not have.
pub fn render(report: &Report) -> Result<String, Failure> {
    // The end of a script may stand nowhere in the data: a name may hold anything.
    let data = serde_json::to_string(report)?.replace('<', "\\u003c");
    let parts = [("{{style}}", STYLE.to_string()), ("{{data}}", data), ("{{script}}", SCRIPTS.concat())];
    // Each place is looked for in the template alone, not in what has been put in.
    let (mut page, mut rest) = (String::new(), TEMPLATE);
    for (place, text) in parts {
        let (before, after) = rest.split_once(place).ok_or("a page without a place for its parts")?;
        page += before;
        page += &text;
        rest = after;
    }
    Ok(page + rest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::{Library, tests::row};

    fn page(name: &str) -> String {
        let libraries = vec![Library { name: name.into(), how: "{{script}}".into() }];
        render(&Report { libraries, rows: vec![row()], ..Report::new() }).expect("plain data")
    }

    #[test]
    fn the_data_is_read_back_from_the_page() {
        let page = page("</script><b>");
        let (_, rest) = page.split_once(r#"<script type="application/json" id="data">"#).expect("the data");
        let (data, _) = rest.split_once("</script>").expect("its end");
        let report = Report::read(data).expect("the JSON of reports");
        assert_eq!((report.libraries[0].name.as_str(), report.rows.len()), ("</script><b>", 1));
        assert_eq!(report.libraries[0].how, "{{script}}");
    }

    #[test]
    fn nothing_is_asked_of_the_network() {
        let page = page("blas");
        assert!(page.contains("default-src 'none'"));
        for word in ["http:", "https:", "src=", "@import", "url(", "fetch(", "XMLHttpRequest", "<link"] {
            // The name of SVG's elements is an address that nobody goes to.
            let found = page.replace("http://www.w3.org/2000/svg", "").contains(word);
            assert!(!found, "{word}");
        }
        assert!(!page.contains("{{style}}") && !page.contains("{{data}}"));
    }
}
