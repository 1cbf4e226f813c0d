//! Loss and accuracy over the epochs.

use std::path::Path;

use plotters::prelude::*;

use crate::training::session::EpochResult;
use crate::{Failure, files};

/// Both curves beside each other.
///
/// # Errors
/// A file that cannot be written.
pub fn draw(path: &Path, title: &str, results: &[EpochResult]) -> Result<(), Failure> {
    let mut text = String::new();
    {
        let root = SVGBackend::with_string(&mut text, (1200, 460)).into_drawing_area();
        root.fill(&WHITE)?;
        let root = root.titled(title, ("sans-serif", 22))?;
        let (left, right) = root.split_horizontally(600);
        let points = |value: fn(&EpochResult) -> f64| -> Vec<(f64, f64)> {
            results.iter().enumerate().map(|(i, result)| ((i + 1) as f64, value(result))).collect()
        };
        curve(&left, "mean loss in training", "", &points(|result| result.loss), &BLUE)?;
        let accuracy = points(|result| 100.0 * result.accuracy);
        curve(&right, "accuracy on the test set", " %", &accuracy, &RGBColor(40, 130, 60))?;
        root.present()?;
    }
    files::write(path, &text)?;
    Ok(())
}

type Area<'a> = DrawingArea<SVGBackend<'a>, plotters::coord::Shift>;

fn curve(
    area: &Area<'_>,
    what: &str,
    unit: &str,
    points: &[(f64, f64)],
    colour: &RGBColor,
) -> Result<(), Failure> {
    let last = points.last().copied().unwrap_or((1.0, 0.0));
    // A training that has gone astray has losses that are no numbers; the others are drawn.
    let points: Vec<_> = points.iter().copied().filter(|point| point.1.is_finite()).collect();
    let values = || points.iter().map(|point| point.1);
    let (low, high) = (values().fold(f64::INFINITY, f64::min), values().fold(f64::NEG_INFINITY, f64::max));
    let (low, high) = if points.is_empty() { (0.0, 1.0) } else { (low, high) };
    // Around a single value, a tenth of it; and never so little that it is lost in rounding.
    let room = if high > low { 0.08 * (high - low) } else { 0.1 * high.abs() };
    let room = if room > 0.0 { room.max(1e-6 * high.abs()) } else { 1.0 };
    // Eight labels that differ.
    let digits = (-((high - low + 2.0 * room) / 10.0).log10().floor()).clamp(0.0, 9.0) as usize;
    let caption =
        format!("{what}: {:.*}{unit} after epoch {}", if unit.is_empty() { 4 } else { 2 }, last.1, last.0);
    let mut chart = ChartBuilder::on(area)
        .margin(14)
        .caption(caption, ("sans-serif", 17))
        .x_label_area_size(42)
        .y_label_area_size(64)
        .build_cartesian_2d(0.5..last.0 + 0.5, low - room..high + room)?;
    chart
        .configure_mesh()
        .light_line_style(TRANSPARENT)
        .x_desc("epoch")
        .x_labels(12)
        .x_label_formatter(&|x| if x.fract().abs() < 1e-6 { format!("{x:.0}") } else { String::new() })
        .y_label_formatter(&|y| format!("{y:.digits$}{unit}"))
        .label_style(("sans-serif", 14))
        .draw()?;
    chart.draw_series(LineSeries::new(points.iter().copied(), colour.stroke_width(2)))?;
    chart.draw_series(points.iter().map(|&point| Circle::new(point, 3, colour.filled())))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drawn(name: &str, losses: &[f64]) -> String {
        let path = std::env::temp_dir().join(format!("trine-curves-{}-{name}.svg", std::process::id()));
        let result = |&loss: &f64| EpochResult { loss, accuracy: 0.7833, samples_per_second: 1.0 };
        let results: Vec<_> = losses.iter().map(result).collect();
        draw(&path, "title", &results).expect("room");
        let text = std::fs::read_to_string(&path).expect("written");
        std::fs::remove_file(&path).expect("there");
        text
    }

    #[test]
    fn losses_that_are_no_numbers_are_left_out() {
        let nan = drawn("nan", &[f64::NAN; 3]);
        assert!(nan.contains("mean loss in training: NaN after epoch 3"));
        let some = drawn("some", &[1.5, f64::INFINITY, f64::NAN]);
        assert_eq!(some.matches("<circle").count(), 1 + 3, "one loss, three accuracies");
    }

    /// Texts of the vertical axes with this at their end.
    fn labels<'a>(text: &'a str, end: &str) -> Vec<&'a str> {
        let lines = text.lines().map(str::trim);
        lines.filter(|line| line.ends_with(end) && line.len() < 12 && !line.starts_with('<')).collect()
    }

    #[test]
    fn labels_of_an_axis_differ() {
        for (name, losses) in
            [("one", &[1.5356][..]), ("flat", &[0.5; 4]), ("near", &[0.1234, 0.1235]), ("zero", &[0.0; 3])]
        {
            let text = drawn(name, losses);
            assert!(!text.contains("0.00000"), "nobody reads that far");
            let labels = labels(&text, " %");
            assert!(labels.len() > 3, "{labels:?}");
            let different: std::collections::HashSet<_> = labels.iter().collect();
            assert_eq!(different.len(), labels.len(), "{labels:?}");
        }
    }
}
