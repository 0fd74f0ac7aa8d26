//! The output of commands: data on standard output, everything else on standard error.

use std::ffi::OsStr;
use std::io::{self, BufRead, BufWriter, IsTerminal, Write};
use std::sync::atomic::{AtomicBool, Ordering};

use codespan_reporting::term::termcolor::{ColorChoice, StandardStream};

use midoform_compiler::printable::printable;

use crate::args::{Common, When};
use crate::error::CommandError;

/// Standard output and standard error.
pub(crate) struct Ui {
    colour_out: bool,
    colour_err: bool,
    /// True if the terminal takes no control sequences.
    is_dumb: bool,
    quiet: bool,
    /// True once the reader of standard output has ended.
    is_unread: AtomicBool,
}

/// Returns true if a terminal that is called so takes no control sequences. Nobody knows what one without a name takes.
fn is_dumb(term: &OsStr) -> bool {
    term == "dumb" || term.is_empty()
}

/// Returns true if an output is coloured, with these values of `NO_COLOR` and `TERM`.
fn is_coloured(wanted: When, is_terminal: bool, no_colour: &OsStr, term: &OsStr) -> bool {
    match wanted {
        When::Always => true,
        When::Never => false,
        When::Auto => is_terminal && no_colour.is_empty() && !is_dumb(term),
    }
}

impl Ui {
    pub(crate) fn new(common: &Common) -> Self {
        let set = |name: &str| std::env::var_os(name).unwrap_or_default();
        let (no_colour, term) = (set("NO_COLOR"), set("TERM"));
        let wanted = |terminal: bool| is_coloured(common.color, terminal, &no_colour, &term);
        Ui {
            colour_out: wanted(io::stdout().is_terminal()),
            colour_err: wanted(io::stderr().is_terminal()),
            is_dumb: is_dumb(&term),
            quiet: common.quiet,
            is_unread: AtomicBool::new(false),
        }
    }

    /// Returns true if data may be coloured.
    pub(crate) fn colour_out(&self) -> bool {
        self.colour_out
    }

    /// Returns true if a progress bar may be drawn.
    pub(crate) fn shows_progress(&self) -> bool {
        !self.quiet && !self.is_dumb && io::stderr().is_terminal()
    }

    /// Returns true if only errors are wanted on standard error.
    pub(crate) fn is_quiet(&self) -> bool {
        self.quiet
    }

    /// Returns standard error, for diagnostics.
    pub(crate) fn diagnostics(&self) -> StandardStream {
        StandardStream::stderr(if self.colour_err { ColorChoice::Always } else { ColorChoice::Never })
    }

    /// Writes data. A reader that ends early (`| head`) is no error.
    pub(crate) fn data(
        &self,
        write: impl FnOnce(&mut dyn Write) -> io::Result<()>,
    ) -> Result<(), CommandError> {
        let mut out = BufWriter::with_capacity(1 << 16, io::stdout().lock());
        match write(&mut out).and_then(|()| out.flush()) {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {
                self.is_unread.store(true, Ordering::Relaxed);
                Ok(())
            }
            other => {
                other.map_err(|source| CommandError::File { path: "standard output".to_owned(), source })
            }
        }
    }

    /// Returns true if nobody reads standard output any more.
    pub(crate) fn is_unread(&self) -> bool {
        self.is_unread.load(Ordering::Relaxed)
    }

    /// Writes a value as JSON.
    pub(crate) fn json(&self, value: &impl serde::Serialize) -> Result<(), CommandError> {
        self.data(|out| {
            serde_json::to_writer_pretty(&mut *out, value)?;
            out.write_all(b"\n")
        })
    }

    /// Prints a line for people, unless the run is quiet.
    pub(crate) fn status(&self, text: &str) {
        if !self.quiet {
            self.notice(text);
        }
    }

    /// Prints a line for people, even in a quiet run. A line break in it is escaped, as control characters are.
    pub(crate) fn notice(&self, text: &str) {
        // If standard error is closed, nobody reads the line.
        let _ = writeln!(io::stderr().lock(), "{}", printable(text));
    }

    /// Asks for confirmation. An interruption of the caller ends the question.
    pub(crate) async fn confirm(&self, question: &str) -> Result<bool, CommandError> {
        if !io::stdin().is_terminal() {
            return Err(CommandError::Usage(
                "this changes the network, and there is no terminal for the confirmation: use --yes"
                    .to_owned(),
            ));
        }
        Ok(read_answer(&format!("{question} Only `yes` continues: ")).await? == "yes")
    }

    /// Returns true if somebody can answer questions.
    pub(crate) fn can_ask(&self) -> bool {
        io::stdin().is_terminal() && io::stderr().is_terminal()
    }

    /// Asks a question. An empty answer stands for the default.
    pub(crate) async fn ask(&self, question: &str, standard: &str) -> Result<String, CommandError> {
        let shown = if standard.is_empty() { String::new() } else { format!(" [{standard}]") };
        let answer = read_answer(&format!("{question}{shown}: ")).await?;
        Ok(if answer.is_empty() { standard.to_owned() } else { answer })
    }
}

/// Shows a question on standard error, and reads a line from standard input, without the blanks around it.
async fn read_answer(question: &str) -> Result<String, CommandError> {
    {
        let mut err = io::stderr().lock();
        let _ = write!(err, "{question}");
        let _ = err.flush();
    }
    let (sender, answer) = tokio::sync::oneshot::channel();
    // This is a thread of its own, because the runtime waits for its own threads at the end.
    std::thread::spawn(move || {
        let mut line = String::new();
        let read = io::stdin().lock().read_line(&mut line);
        // After an interruption, nobody waits for the reply.
        let _ = sender.send(read.map(|_| line));
    });
    let answer = answer.await.unwrap_or_else(|_| Err(io::ErrorKind::UnexpectedEof.into()));
    let answer = answer.map_err(|source| CommandError::File { path: "standard input".to_owned(), source })?;
    Ok(answer.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dumb_terminal_has_no_colours_unless_they_are_asked_for() {
        let (none, dumb, xterm) = (OsStr::new(""), OsStr::new("dumb"), OsStr::new("xterm-256color"));
        assert!(is_coloured(When::Auto, true, none, xterm));
        assert!(!is_coloured(When::Auto, true, none, dumb));
        assert!(!is_coloured(When::Auto, true, OsStr::new("1"), xterm));
        assert!(!is_coloured(When::Auto, false, none, xterm));
        assert!(is_coloured(When::Always, false, none, dumb));
        assert!(!is_coloured(When::Auto, true, none, none));
        assert!(is_coloured(When::Always, false, none, none));
        assert!(is_dumb(dumb) && is_dumb(none) && !is_dumb(xterm));
    }
}
