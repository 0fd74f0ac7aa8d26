//! Progress: a bar on a terminal, lines from time to time in a log.

use std::cell::Cell;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use midoform_compiler::printable::printable;
use midoform_reconcile::event::Event;

use crate::ui::Ui;

/// The time between two lines in a log.
const LINE_EVERY: Duration = Duration::from_secs(5);

/// The progress of something.
pub(crate) struct Progress<'a> {
    ui: &'a Ui,
    bar: Option<ProgressBar>,
    what: &'static str,
    of: usize,
    counted: Mutex<Counted>,
}

struct Counted {
    done: usize,
    said: Cell<Instant>,
}

impl<'a> Progress<'a> {
    /// Returns the progress of an observation.
    pub(crate) fn reading(ui: &'a Ui) -> Self {
        Progress::new(ui, "reading", 0)
    }

    /// Returns the progress of an execution of a number of steps.
    pub(crate) fn applying(ui: &'a Ui, steps: usize) -> Self {
        Progress::new(ui, "applying", steps)
    }

    /// Returns the progress of a verification of a number of tenants.
    pub(crate) fn verifying(ui: &'a Ui, tenants: usize) -> Self {
        Progress::new(ui, "verifying", tenants)
    }

    /// Counts more that is done.
    pub(crate) fn more(&self, done: usize) {
        let Ok(mut counted) = self.counted.lock() else { return };
        self.count(&mut counted, done);
    }

    fn count(&self, counted: &mut Counted, done: usize) {
        counted.done += done;
        if let Some(bar) = &self.bar {
            bar.set_position(counted.done as u64);
        } else if counted.said.get().elapsed() > LINE_EVERY {
            counted.said.set(Instant::now());
            self.ui.status(&format!("{} {}/{}", self.what, counted.done, self.of));
        }
    }

    fn new(ui: &'a Ui, what: &'static str, of: usize) -> Self {
        let bar = ui.shows_progress().then(|| {
            let bar = ProgressBar::with_draw_target(Some(of as u64), ProgressDrawTarget::stderr_with_hz(10));
            if let Ok(style) = ProgressStyle::with_template("{prefix} {bar:30} {pos}/{len} {msg}") {
                bar.set_style(style);
            }
            bar.set_prefix(what);
            bar
        });
        let counted = Mutex::new(Counted { done: 0, said: Cell::new(Instant::now()) });
        Progress { ui, bar, what, of, counted }
    }

    /// Shows an event.
    pub(crate) fn event(&self, event: &Event) {
        let Ok(mut counted) = self.counted.lock() else { return };
        match event {
            Event::Read { done, of } => {
                if let Some(bar) = &self.bar {
                    bar.set_length(*of as u64);
                    bar.set_position(*done as u64);
                }
            }
            Event::Started { key, .. } => {
                if let Some(bar) = &self.bar {
                    bar.set_message(printable(key.as_str()).into_owned());
                }
            }
            Event::Done { .. } => self.count(&mut counted, 1),
            Event::Failed { .. } | Event::Executing { .. } | Event::Executed | Event::Batch { .. } => {}
        }
    }

    /// Removes the bar.
    pub(crate) fn finish(self) {
        if let Some(bar) = self.bar {
            bar.finish_and_clear();
        }
    }
}
