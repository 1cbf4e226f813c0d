//! Loss and accuracy over the epochs.

use std::path::Path;

use plotters::prelude::*;

use crate::Failure;
use crate::training::session::EpochResult;

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
    std::fs::write(path, text).map_err(|error| format!("{}: {error}", path.display()))?;
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
    let values = || points.iter().map(|point| point.1);
    let (low, high) = (values().fold(f64::INFINITY, f64::min), values().fold(f64::NEG_INFINITY, f64::max));
    let room = ((high - low) * 0.08).max(1e-3);
    let last = points.last().copied().unwrap_or((1.0, 0.0));
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
        .y_label_formatter(&|y| if unit.is_empty() { format!("{y:.2}") } else { format!("{y:.1}{unit}") })
        .label_style(("sans-serif", 14))
        .draw()?;
    chart.draw_series(LineSeries::new(points.iter().copied(), colour.stroke_width(2)))?;
    chart.draw_series(points.iter().map(|&point| Circle::new(point, 3, colour.filled())))?;
    Ok(())
}
