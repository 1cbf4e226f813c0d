//! What pictures over time have in common: a title, rows, an axis, colours.

use svg::Document;
use svg::node::element::{Line, Path, Rectangle, Text};

/// Width of a picture.
pub const WIDTH: f64 = 1200.0;
/// Where time begins: left of it are the names of the rows.
pub const LEFT: f64 = 190.0;
const RIGHT: f64 = 24.0;

/// Forward.
pub const FORWARD: &str = "#4c8bd6";
/// Backward.
pub const BACKWARD: &str = "#e08a3c";
/// Waiting.
pub const WAITING: &str = "#e4e4e4";
/// Sums over replicas.
pub const SUMS: &str = "#b07cc6";
/// The optimizer.
pub const STEP: &str = "#6aa84f";
/// Activations in memory.
pub const KEPT: &str = "#bcd6f2";
/// Text.
pub const INK: &str = "#222222";
const GREY: &str = "#6a6a6a";

/// A picture with time from left to right.
#[derive(Clone, Debug)]
pub struct Canvas {
    nodes: Vec<Box<dyn svg::Node>>,
    /// Time at the right end.
    end: f64,
    /// Where the next row goes.
    pub y: f64,
}

impl Canvas {
    /// With a title and lines below it.
    pub fn new(end: f64, title: &str, lines: &[String]) -> Self {
        let mut canvas = Canvas { nodes: Vec::new(), end: end.max(f64::MIN_POSITIVE), y: 34.0 };
        canvas.text((24.0, canvas.y), 20.0, INK, "start", title);
        for line in lines {
            canvas.y += 22.0;
            canvas.text((24.0, canvas.y), 14.0, GREY, "start", line);
        }
        canvas.y += 16.0;
        canvas
    }

    /// Where a time is.
    pub fn x(&self, time: f64) -> f64 {
        LEFT + (WIDTH - LEFT - RIGHT) * time / self.end
    }

    fn add(&mut self, node: impl Into<Box<dyn svg::Node>>) {
        self.nodes.push(node.into());
    }

    /// Some words; `anchor` is start, middle or end.
    pub fn text(&mut self, (x, y): (f64, f64), size: f64, colour: &str, anchor: &str, words: &str) {
        let text = Text::new(words)
            .set("x", round(x))
            .set("y", round(y))
            .set("font-size", size)
            .set("font-family", "DejaVu Sans, Helvetica, Arial, sans-serif")
            .set("fill", colour)
            .set("text-anchor", anchor);
        self.add(text);
    }

    /// The name of a row, and something smaller below it.
    pub fn name(&mut self, y: f64, name: &str, below: &str) {
        self.text((LEFT - 12.0, y), 14.0, INK, "end", name);
        if !below.is_empty() {
            self.text((LEFT - 12.0, y + 15.0), 11.0, GREY, "end", below);
        }
    }

    /// A bar from one time to another, with words in it if they have room.
    pub fn bar(&mut self, (from, to): (f64, f64), (y, height): (f64, f64), colour: &str, words: &str) {
        let (x, width) = (self.x(from), self.x(to) - self.x(from));
        let bar = Rectangle::new()
            .set("x", round(x))
            .set("y", round(y))
            .set("width", round(width.max(0.5)))
            .set("height", round(height))
            .set("fill", colour)
            .set("stroke", "#ffffff")
            .set("stroke-width", if width > 3.0 { 0.8 } else { 0.0 });
        self.add(bar);
        let size = if height < 18.0 { 10.0 } else { 12.0 };
        if words.chars().count() as f64 * 0.62 * size + 4.0 < width {
            let middle = (x + width / 2.0, y + height / 2.0 + 0.36 * size);
            self.text(middle, size, INK, "middle", words);
        }
    }

    /// A triangle at a time, filled or not.
    pub fn triangle(&mut self, time: f64, y: f64, filled: bool) {
        let x = self.x(time);
        let path = format!("M{} {}l-6 -10h12z", round(x), round(y));
        let fill = if filled { "#b3261e" } else { "#ffffff" };
        self.add(Path::new().set("d", path).set("fill", fill).set("stroke", "#b3261e"));
    }

    /// A horizontal line over all times.
    pub fn rule(&mut self, y: f64) {
        self.line((LEFT, y), (WIDTH - RIGHT, y), "#dddddd");
    }

    fn line(&mut self, from: (f64, f64), to: (f64, f64), colour: &str) {
        let line = Line::new()
            .set("x1", round(from.0))
            .set("y1", round(from.1))
            .set("x2", round(to.0))
            .set("y2", round(to.1))
            .set("stroke", colour);
        self.add(line);
    }

    /// Steps of a quantity over time, from `(time, value)` on, filled down to the bottom of the row;
    /// the largest value is written at its place.
    pub fn steps(&mut self, points: &[(f64, f64)], (y, height): (f64, f64), label: &str) {
        // Of several changes at one time the last counts.
        let last = |(i, point): (usize, &(f64, f64))| points.get(i + 1).is_none_or(|next| next.0 > point.0);
        let points: Vec<_> =
            points.iter().enumerate().filter(|&step| last(step)).map(|step| *step.1).collect();
        let most = points.iter().map(|point| point.1).fold(0.0, f64::max);
        let at = |value: f64| y + height - if most > 0.0 { (height - 16.0) * value / most } else { 0.0 };
        let mut path = format!("M{} {}", round(self.x(0.0)), round(y + height));
        for &(time, value) in &points {
            path += &format!("H{}V{}", round(self.x(time)), round(at(value)));
        }
        path += &format!("H{}V{}Z", round(self.x(self.end)), round(y + height));
        self.add(Path::new().set("d", path).set("fill", "#cfe5cc").set("stroke", "#5b8f55"));
        if let Some(&(time, _)) = points.iter().find(|point| point.1 == most) {
            let x = self.x(time).clamp(LEFT + 4.0, WIDTH - RIGHT - 330.0);
            self.text((x, at(most) - 4.0), 12.0, INK, "start", label);
        }
    }

    /// Colours with what they stand for, in one line.
    pub fn legend(&mut self, entries: &[(&str, &str)]) {
        let mut x = LEFT;
        for (colour, words) in entries {
            let box_ = Rectangle::new()
                .set("x", x)
                .set("y", self.y)
                .set("width", 14)
                .set("height", 14)
                .set("fill", *colour)
                .set("stroke", "#999999");
            self.add(box_);
            self.text((x + 20.0, self.y + 12.0), 13.0, INK, "start", words);
            x += 44.0 + 7.4 * words.chars().count() as f64;
        }
        self.y += 30.0;
    }

    /// The axis of time below all rows, with round numbers; `unit` is written at its end.
    pub fn axis(&mut self, unit: &str) {
        let rough = self.end / 8.0;
        let power = 10f64.powf(rough.log10().floor());
        let step = [1.0, 2.0, 5.0, 10.0].map(|factor| factor * power).into_iter().find(|&step| step >= rough);
        let step = step.unwrap_or(rough);
        let y = self.y;
        self.line((LEFT, y), (WIDTH - RIGHT, y), GREY);
        let mut i = 0.0;
        while i * step <= self.end * 1.0001 {
            let x = self.x(i * step);
            self.line((x, y), (x, y + 5.0), GREY);
            let digits = if step < 1.0 { (-step.log10()).ceil() as usize } else { 0 };
            self.text((x, y + 19.0), 11.0, GREY, "middle", &format!("{:.digits$}", i * step));
            i += 1.0;
        }
        self.text((WIDTH - RIGHT, y + 36.0), 12.0, GREY, "end", unit);
        self.y += 50.0;
    }

    /// The picture as text.
    pub fn finish(self) -> String {
        let height = self.y.ceil();
        let ground = Rectangle::new().set("width", "100%").set("height", "100%").set("fill", "#ffffff");
        let mut document = Document::new()
            .set("viewBox", (0, 0, WIDTH, height))
            .set("width", WIDTH)
            .set("height", height)
            .add(ground);
        for node in self.nodes {
            document = document.add(node);
        }
        document.to_string()
    }
}

/// To a tenth, which is enough for a picture and keeps files short.
fn round(x: f64) -> f64 {
    (x * 10.0).round() / 10.0
}

/// Bytes for readers.
pub fn bytes(bytes: usize) -> String {
    match bytes as f64 {
        b if b >= 1048576.0 => format!("{:.2} MiB", b / 1048576.0),
        b if b >= 1024.0 => format!("{:.1} KiB", b / 1024.0),
        b => format!("{b:.0} bytes"),
    }
}
