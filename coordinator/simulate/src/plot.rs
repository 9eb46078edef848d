//! The picture: what part of the processors was held and how many tasks waited over time, as SVG written by hand.

use std::fmt::Write;

use crate::{
    measures::{held, integral},
    pool::Pool,
    run::{History, Sample},
    trace::{DAY_MS, Trace},
};

const WIDTH: f64 = 900.0;
const HEIGHT: f64 = 560.0;
const LEFT: f64 = 70.0;
const RIGHT: f64 = 20.0;
/// Top and height of each panel.
const PANELS: [(f64, f64); 2] = [(70.0, 190.0), (310.0, 190.0)];
/// Means over so many equal parts of the time are drawn.
const PARTS: u64 = 240;
/// At most about so many lines of a grid.
const TICKS: f64 = 6.0;
const TIME_TICKS: f64 = 14.0;
const HOUR_MS: f64 = 3_600_000.0;
/// Apart for the colour-blind, and on white (M. Okabe and K. Ito, 2008); dashes tell them apart in print.
const STYLES: [(&str, &str); 3] = [("#0072b2", "none"), ("#d55e00", "7 3"), ("#009e73", "2 2")];

/// One of the two panels.
struct Panel {
    top: f64,
    height: f64,
    label: &'static str,
    most: f64,
    tick: f64,
}

/// Draws the schedules by name; their order is that of the colours.
pub fn plot(trace: &Trace, pool: &Pool, all: &[(&str, &History)]) -> String {
    let ends = all
        .iter()
        .flat_map(|(_, history)| &history.runs)
        .map(|run| run.ended_ms);
    let end_ms = ends.max().unwrap_or_default().max(1);
    let utilisation = |history: &History, from_ms, until_ms| {
        let most = pool.cpu() as f64 * (until_ms - from_ms) as f64;
        100.0 * held(&history.samples, from_ms, until_ms) / most
    };
    let waiting = |history: &History, from_ms, until_ms| {
        let value = |sample: &Sample| sample.waiting as f64;
        integral(&history.samples, from_ms, until_ms, value) / (until_ms - from_ms) as f64
    };
    let curves = |value: &dyn Fn(&History, u64, u64) -> f64| -> Vec<Vec<f64>> {
        let of = |history: &History| {
            parts(end_ms)
                .map(|(from, until)| value(history, from, until))
                .collect()
        };
        all.iter().map(|(_, history)| of(history)).collect()
    };
    let panels = [
        ("processors held (%)", curves(&utilisation), 100.0),
        ("tasks waiting", curves(&waiting), 1.0),
    ];
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" font-family=\"sans-serif\" font-size=\"13\">\n\
         <rect width=\"{WIDTH}\" height=\"{HEIGHT}\" fill=\"#ffffff\"/>\n"
    );
    let title = format!("{} on {pool}", trace.title);
    text(
        &mut svg,
        (LEFT, 24.0),
        "start",
        &title,
        " font-size=\"15\" font-weight=\"bold\"",
    );
    legend(&mut svg, all);
    for ((top, height), (label, curves, least)) in PANELS.into_iter().zip(panels) {
        let highest = curves.iter().flatten().copied().fold(least, f64::max);
        let tick = step(highest / TICKS);
        let panel = Panel {
            top,
            height,
            label,
            most: (highest / tick).ceil() * tick,
            tick,
        };
        panel.axes(&mut svg, end_ms);
        for (values, (colour, dashes)) in curves.iter().zip(STYLES) {
            panel.curve(&mut svg, values, colour, dashes);
        }
    }
    let unit = time_unit(end_ms).1;
    text(
        &mut svg,
        (LEFT + plot_width() / 2.0, HEIGHT - 14.0),
        "middle",
        &format!("time ({unit})"),
        "",
    );
    svg += "</svg>\n";
    svg
}

/// Returns equal parts of the time; fewer where there are fewer milliseconds.
fn parts(end_ms: u64) -> impl Iterator<Item = (u64, u64)> {
    let bound =
        move |part: u64| u64::try_from(u128::from(end_ms) * u128::from(part) / u128::from(PARTS));
    let bound = move |part| bound(part).unwrap_or(end_ms);
    (0..PARTS)
        .map(move |part| (bound(part), bound(part + 1)))
        .filter(|(from, until)| from < until)
}

fn plot_width() -> f64 {
    WIDTH - LEFT - RIGHT
}

/// Returns a unit of time in milliseconds, its name, and how many of them are from one line to the next.
fn time_unit(end_ms: u64) -> (f64, &'static str, f64) {
    let hours = end_ms as f64 / HOUR_MS;
    let (unit_ms, name, steps): (_, _, &[f64]) = if hours < 2.0 {
        (HOUR_MS / 60.0, "minutes", &[])
    } else if hours < 120.0 {
        (HOUR_MS, "hours", &[1.0, 2.0, 3.0, 6.0, 12.0])
    } else {
        (DAY_MS as f64, "days", &[])
    };
    let least = end_ms as f64 / unit_ms / TIME_TICKS;
    let round = steps.iter().copied().find(|step| *step >= least);
    (unit_ms, name, round.unwrap_or_else(|| step(least)))
}

/// Returns the next of 1, 2, 5, 10, 20, ... and of their tenths.
fn step(least: f64) -> f64 {
    let power = 10f64.powf(least.max(1e-6).log10().floor());
    let steps = [1.0, 2.0, 5.0, 10.0].map(|times| times * power);
    steps
        .into_iter()
        .find(|step| *step >= least * 0.999)
        .unwrap_or(10.0 * power)
}

fn legend(svg: &mut String, all: &[(&str, &History)]) {
    let mut x = LEFT;
    for ((name, _), (colour, dashes)) in all.iter().zip(STYLES) {
        let line = format!(
            "<line x1=\"{x}\" y1=\"44\" x2=\"{}\" y2=\"44\" stroke=\"{colour}\" stroke-width=\"2.5\" stroke-dasharray=\"{dashes}\"/>\n",
            x + 30.0
        );
        *svg += &line;
        text(svg, (x + 38.0, 48.0), "start", name, "");
        x += 60.0 + 9.0 * name.chars().count() as f64;
    }
}

impl Panel {
    fn y(&self, value: f64) -> f64 {
        self.top + self.height * (1.0 - value / self.most)
    }

    fn axes(&self, svg: &mut String, end_ms: u64) {
        let (unit_ms, _, tick) = time_unit(end_ms);
        let bottom = self.top + self.height;
        let mut value = 0.0;
        while value <= self.most + self.tick / 2.0 {
            let y = self.y(value);
            rule(svg, (LEFT, y), (WIDTH - RIGHT, y));
            text(svg, (LEFT - 8.0, y + 4.0), "end", &number(value), "");
            value += self.tick;
        }
        let units = end_ms as f64 / unit_ms;
        let mut value = 0.0;
        while value <= units {
            let x = LEFT + plot_width() * value / units;
            rule(svg, (x, self.top), (x, bottom));
            text(svg, (x, bottom + 18.0), "middle", &number(value), "");
            value += tick;
        }
        let middle = self.top + self.height / 2.0;
        let turned = format!(" transform=\"rotate(-90 18 {middle})\"");
        text(svg, (18.0, middle), "middle", self.label, &turned);
    }

    fn curve(&self, svg: &mut String, values: &[f64], colour: &str, dashes: &str) {
        let points = values.iter().enumerate().map(|(place, value)| {
            let x = LEFT + plot_width() * (place as f64 + 0.5) / values.len() as f64;
            format!("{x:.1},{:.1}", self.y(*value))
        });
        let points: Vec<String> = points.collect();
        *svg += &format!(
            "<polyline fill=\"none\" stroke=\"{colour}\" stroke-width=\"1.8\" stroke-dasharray=\"{dashes}\" points=\"{}\"/>\n",
            points.join(" ")
        );
    }
}

fn rule(svg: &mut String, (x1, y1): (f64, f64), (x2, y2): (f64, f64)) {
    *svg += &format!(
        "<line x1=\"{x1:.1}\" y1=\"{y1:.1}\" x2=\"{x2:.1}\" y2=\"{y2:.1}\" stroke=\"#dddddd\"/>\n"
    );
}

fn text(svg: &mut String, (x, y): (f64, f64), anchor: &str, content: &str, more: &str) {
    let content = escape(content);
    *svg += &format!(
        "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\" fill=\"#222222\"{more}>{content}</text>\n"
    );
}

/// Returns a number without a fraction that says nothing.
fn number(value: f64) -> String {
    let rounded = (value * 100.0).round() / 100.0;
    format!("{rounded}")
}

/// Returns a text as it may stand in XML; what may not stand there at all is left out.
fn escape(text: &str) -> String {
    let mut escaped = String::new();
    for c in text.chars() {
        // A text takes everything that is written.
        let _ = match c {
            '&' => escaped.write_str("&amp;"),
            '<' => escaped.write_str("&lt;"),
            '>' => escaped.write_str("&gt;"),
            '"' => escaped.write_str("&quot;"),
            '\u{fffe}' | '\u{ffff}' => Ok(()),
            c if c.is_control() => Ok(()),
            c => escaped.write_char(c),
        };
    }
    escaped
}

#[cfg(test)]
mod tests {
    use quick_xml::{Reader, events::Event};

    use super::*;
    use crate::{
        easy::Easy,
        fifo::Fifo,
        run::run,
        trace::tests::{job, trace},
    };

    /// Returns all texts of the picture, or fails where it is no XML.
    fn texts(svg: &str) -> Vec<String> {
        let mut reader = Reader::from_str(svg);
        let (mut depth, mut texts) = (0, Vec::new());
        loop {
            match reader.read_event().unwrap() {
                Event::Start(start) => {
                    assert!(start.attributes().all(|attribute| attribute.is_ok()));
                    depth += 1;
                }
                Event::End(_) => depth -= 1,
                Event::Text(text) => texts.push(text.decode().unwrap().into_owned()),
                Event::GeneralRef(name) => texts.push(name.decode().unwrap().into_owned()),
                Event::Eof => break,
                _ => {}
            }
        }
        assert_eq!(depth, 0);
        texts
    }

    #[test]
    fn the_picture_is_xml_with_axes_and_a_legend() {
        let mut trace = trace(vec![job(0, 3, 7000), job(1, 4, 5000), job(2, 1, 1)]);
        trace.title = "<a & \"b\"\u{7}>".to_owned();
        let pool = Pool::parse("1x4:32GiB").unwrap();
        let fifo = run(&trace, &pool, &mut Fifo::new(&trace, &pool)).unwrap();
        let easy = run(&trace, &pool, &mut Easy::new(&trace, &pool)).unwrap();
        let svg = plot(&trace, &pool, &[("EASY", &easy), ("FIFO", &fifo)]);
        let texts = texts(&svg);
        for expect in [
            "EASY",
            "FIFO",
            "processors held (%)",
            "tasks waiting",
            "time (hours)",
            "100",
        ] {
            assert!(
                texts.iter().any(|text| text == expect),
                "{expect}: {texts:?}"
            );
        }
        assert!(
            svg.contains("&lt;a &amp; &quot;b&quot;&gt; on 1x4:32GiB"),
            "{svg}"
        );
        assert_eq!(svg.matches("<polyline").count(), 4);
        assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
        let lowest = |top: f64, height: f64| top + height;
        assert!(
            svg.contains(&format!(",{:.1} ", lowest(PANELS[1].0, PANELS[1].1))),
            "nothing waits at the end"
        );
    }

    #[test]
    fn a_trace_of_a_moment_has_a_picture() {
        let mut trace = trace(vec![job(0, 1, 1)]);
        trace.jobs[0].runs_ms = vec![1];
        let pool = Pool::parse("1x4:32GiB").unwrap();
        let fifo = run(&trace, &pool, &mut Fifo::new(&trace, &pool)).unwrap();
        let svg = plot(&trace, &pool, &[("FIFO", &fifo)]);
        assert!(!texts(&svg).is_empty() && !svg.contains("NaN"), "{svg}");
    }

    #[test]
    fn steps_are_round() {
        assert_eq!(
            [0.9, 1.0, 1.1, 3.0, 17.0, 230.0].map(step),
            [1.0, 1.0, 2.0, 5.0, 20.0, 500.0]
        );
    }
}
