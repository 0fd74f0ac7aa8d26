//! Runs programs, for a limited time.

use std::io::{Read, Write as _};
use std::process::{Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use crate::error::{LabError, Result, of};

/// The time after which a program has hung.
pub(crate) const LIMIT: Duration = Duration::from_secs(90);

/// What a program wrote, and how it ended.
struct Ended {
    status: ExitStatus,
    output: String,
    errors: String,
}

/// Runs a program, and returns what it writes to standard output.
///
/// # Errors
/// When it can't be started, hangs, or fails: the error has what it wrote.
pub(crate) fn run(command: &mut Command) -> Result<String> {
    run_with(command, "")
}

/// Runs a program with this standard input.
///
/// # Errors
/// As [`run`].
pub(crate) fn run_with(command: &mut Command, input: &str) -> Result<String> {
    let ended = finish(command, input)?;
    if ended.status.success() {
        return Ok(ended.output);
    }
    let output = match ended.errors.trim() {
        "" => format!("{} {}", ended.status, ended.output.trim()),
        errors => errors.to_owned(),
    };
    Err(LabError::Program { command: shown(command), output })
}

fn finish(command: &mut Command, input: &str) -> Result<Ended> {
    let name = shown(command);
    let stdin = if input.is_empty() { Stdio::null() } else { Stdio::piped() };
    command.stdin(stdin).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(of(format!("starting `{name}`")))?;
    let output = child.stdout.take().map(read_aside);
    let errors = child.stderr.take().map(read_aside);
    if let Some(mut stdin) = child.stdin.take() {
        // A program that does not read its input to the end says why.
        let _ = stdin.write_all(input.as_bytes());
    }
    let start = Instant::now();
    let mut pause = Duration::from_micros(500);
    let status = loop {
        if let Some(status) = child.try_wait().map_err(of(format!("waiting for `{name}`")))? {
            break status;
        }
        if start.elapsed() > LIMIT {
            let _ = child.kill();
            let _ = child.wait();
            return Err(LabError::Late {
                what: format!("`{name}`"),
                seconds: LIMIT.as_secs(),
                advice: String::new(),
            });
        }
        std::thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(10));
    };
    let text = |reader: Option<std::thread::JoinHandle<String>>| {
        reader.and_then(|reader| reader.join().ok()).unwrap_or_default()
    };
    Ok(Ended { status, output: text(output), errors: text(errors) })
}

/// Reads a pipe to its end, so that no program waits because the pipe is full.
fn read_aside(mut pipe: impl Read + Send + 'static) -> std::thread::JoinHandle<String> {
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        // What was read until then is better than nothing.
        let _ = pipe.read_to_end(&mut bytes);
        String::from_utf8_lossy(&bytes).into_owned()
    })
}

/// Returns a command as people type it, without its long rest.
fn shown(command: &Command) -> String {
    const LONGEST: usize = 300;
    let program = std::path::Path::new(command.get_program()).file_name().unwrap_or_default();
    let words = [program].into_iter().chain(command.get_args()).map(|word| word.to_string_lossy());
    let text = words.collect::<Vec<_>>().join(" ");
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{} …", &text[..end]),
        None => text,
    }
}

/// Waits until something is so.
///
/// # Errors
/// When it is not so after this time.
pub(crate) fn wait_until(
    what: &str,
    limit: Duration,
    advice: &str,
    mut is_so: impl FnMut() -> Result<bool>,
) -> Result<()> {
    let start = Instant::now();
    while !is_so()? {
        if start.elapsed() > limit {
            let advice = if advice.is_empty() { String::new() } else { format!(": {advice}") };
            return Err(LabError::Late { what: what.to_owned(), seconds: limit.as_secs(), advice });
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}
