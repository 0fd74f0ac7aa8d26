//! Where words go: data to standard output, the rest to standard error.

use std::io::{self, BufRead, BufWriter, IsTerminal, Write};

use codespan_reporting::term::termcolor::{ColorChoice, StandardStream};

use crate::args::{Common, When};
use crate::error::CommandError;

/// The terminal, or what stands in its place.
pub(crate) struct Ui {
    colour_out: bool,
    colour_err: bool,
    quiet: bool,
}

impl Ui {
    pub(crate) fn new(common: &Common) -> Self {
        let wanted = |terminal: bool| match common.color {
            When::Always => true,
            When::Never => false,
            When::Auto => terminal && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty()),
        };
        Ui {
            colour_out: wanted(io::stdout().is_terminal()),
            colour_err: wanted(io::stderr().is_terminal()),
            quiet: common.quiet,
        }
    }

    /// Whether data may be coloured.
    pub(crate) fn colour_out(&self) -> bool {
        self.colour_out
    }

    /// Whether progress may be drawn.
    pub(crate) fn shows_progress(&self) -> bool {
        !self.quiet && io::stderr().is_terminal()
    }

    /// Whether plain lines of progress are welcome.
    pub(crate) fn is_quiet(&self) -> bool {
        self.quiet
    }

    /// Standard error, for diagnostics.
    pub(crate) fn diagnostics(&self) -> StandardStream {
        StandardStream::stderr(if self.colour_err { ColorChoice::Always } else { ColorChoice::Never })
    }

    /// Writes data. A reader that went away (`| head`) is no error.
    pub(crate) fn data(
        &self,
        write: impl FnOnce(&mut dyn Write) -> io::Result<()>,
    ) -> Result<(), CommandError> {
        let mut out = BufWriter::with_capacity(1 << 16, io::stdout().lock());
        match write(&mut out).and_then(|()| out.flush()) {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            other => {
                other.map_err(|source| CommandError::File { path: "standard output".to_owned(), source })
            }
        }
    }

    /// Writes a value as JSON.
    pub(crate) fn json(&self, value: &impl serde::Serialize) -> Result<(), CommandError> {
        self.data(|out| {
            serde_json::to_writer_pretty(&mut *out, value)?;
            out.write_all(b"\n")
        })
    }

    /// Says something to people.
    pub(crate) fn say(&self, text: &str) {
        if !self.quiet {
            self.always_say(text);
        }
    }

    /// Says something that even a quiet run has to.
    pub(crate) fn always_say(&self, text: &str) {
        // Where standard error is gone there is nobody to tell.
        let _ = writeln!(io::stderr().lock(), "{text}");
    }

    /// Asks for a yes. An interruption of the caller ends the question, though nobody answered it.
    pub(crate) async fn confirm(&self, question: &str) -> Result<bool, CommandError> {
        if !io::stdin().is_terminal() {
            return Err(CommandError::Usage(
                "this changes the network, and nobody is at the terminal to agree: say --yes".to_owned(),
            ));
        }
        {
            let mut err = io::stderr().lock();
            let _ = write!(err, "{question} Only `yes` goes on: ");
            let _ = err.flush();
        }
        let (sender, answer) = tokio::sync::oneshot::channel();
        // A thread of its own: the runtime would wait for one of its threads at the end.
        std::thread::spawn(move || {
            let mut line = String::new();
            let read = io::stdin().lock().read_line(&mut line);
            // Nobody waits for the answer any more after an interruption.
            let _ = sender.send(read.map(|_| line));
        });
        let answer = answer.await.unwrap_or_else(|_| Err(io::ErrorKind::UnexpectedEof.into()));
        let answer =
            answer.map_err(|source| CommandError::File { path: "standard input".to_owned(), source })?;
        Ok(answer.trim() == "yes")
    }
}
