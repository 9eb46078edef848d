//! A whole screen that is drawn again every second: what `top` and `job top` have in common. `q` quits.

use std::time::Duration;

use common::{code::Code, problem::Problem};
use ratatui::{
    Frame,
    crossterm::event::{self, Event, KeyCode, KeyEventKind, KeyModifiers},
};
use tokio::{sync::mpsc, time::MissedTickBehavior};

/// How often everything is asked for again.
const REFRESH: Duration = Duration::from_secs(1);
/// Key strokes that are kept while the screen is drawn.
const MAX_KEYS: usize = 16;

/// Draws what `ask` finds, again and again, until the person quits.
///
/// # Errors
/// `ask` fails, or the terminal cannot be drawn on.
pub(super) async fn watch<T>(
    ask: impl AsyncFn() -> Result<T, Problem>,
    draw: impl Fn(&mut Frame<'_>, &T),
) -> Result<(), Problem> {
    // Before the screen is taken, so that what is wrong from the start is said in the open.
    let first = ask().await?;
    let mut keys = keys();
    let mut terminal = ratatui::try_init().map_err(|error| cannot_draw(&error))?;
    let watched = draw_and_ask(first, &ask, &draw, &mut terminal, &mut keys).await;
    ratatui::restore();
    watched
}

async fn draw_and_ask<T>(
    mut snapshot: T,
    ask: &impl AsyncFn() -> Result<T, Problem>,
    draw: &impl Fn(&mut Frame<'_>, &T),
    terminal: &mut ratatui::DefaultTerminal,
    keys: &mut mpsc::Receiver<Event>,
) -> Result<(), Problem> {
    let mut refresh = tokio::time::interval(REFRESH);
    refresh.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        terminal
            .draw(|frame| draw(frame, &snapshot))
            .map_err(|error| cannot_draw(&error))?;
        tokio::select! {
            _ = refresh.tick() => snapshot = ask().await?,
            key = keys.recv() => match key {
                Some(event) if quits(&event) => return Ok(()),
                Some(_) => {}
                None => return Ok(()),
            },
        }
    }
}

/// Reads the terminal on a thread of its own, which ends with the process.
fn keys() -> mpsc::Receiver<Event> {
    let (sender, receiver) = mpsc::channel(MAX_KEYS);
    std::thread::spawn(move || {
        while let Ok(event) = event::read() {
            if sender.blocking_send(event).is_err() {
                return;
            }
        }
    });
    receiver
}

fn quits(event: &Event) -> bool {
    let Event::Key(key) = event else { return false };
    let interrupt = key.code == KeyCode::Char('c') && key.modifiers.contains(KeyModifiers::CONTROL);
    key.kind == KeyEventKind::Press
        && (interrupt || [KeyCode::Char('q'), KeyCode::Esc].contains(&key.code))
}

fn cannot_draw(error: &std::io::Error) -> Problem {
    Problem::new(Code::Io, "cannot draw on this terminal", error.to_string())
}
