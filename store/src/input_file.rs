//! Reads files that the user names. A pipe that nobody writes into is an error, and does not stop the program for ever.

use std::fs::{File, Metadata};
use std::io::{self, Read};
use std::path::Path;
use std::time::{Duration, Instant};

/// The time to wait for somebody who writes into a pipe.
const PATIENCE: Duration = Duration::from_secs(2);

/// The longest time to wait for the next bytes of a pipe that somebody has open.
const SILENCE: Duration = Duration::from_secs(60);

/// The pause between two attempts to read a pipe.
const PAUSE: Duration = Duration::from_millis(5);

/// An opened file or pipe.
#[derive(Debug)]
pub struct InputFile {
    file: File,
    /// The end of the time to wait for the first byte of a pipe; none for a file, and for a pipe that has been written into.
    until: Option<Instant>,
    /// The longest time to wait for the next bytes.
    silence: Duration,
}

/// Opens a file or a pipe.
///
/// # Errors
/// When it can't be opened.
pub fn open(path: &Path) -> io::Result<InputFile> {
    let is_pipe = is_pipe(&std::fs::metadata(path)?);
    let mut options = File::options();
    options.read(true);
    if is_pipe {
        without_waiting(&mut options);
    }
    let until = is_pipe.then(|| Instant::now() + PATIENCE);
    Ok(InputFile { file: options.open(path)?, until, silence: SILENCE })
}

/// Reads a whole file or pipe.
///
/// # Errors
/// When it can't be read, or when nobody writes into the pipe.
pub fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    open(path)?.read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Reads a whole file or pipe as text.
///
/// # Errors
/// When it can't be read, is not UTF-8, or when nobody writes into the pipe.
pub fn read_to_string(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    open(path)?.read_to_string(&mut text)?;
    Ok(text)
}

/// Opens a file of midoform's own beside another one. A link in its place is an error: whoever makes it could lead
/// midoform to any other file.
///
/// # Errors
/// When it can't be opened, or is a link.
pub(crate) fn open_own(path: &Path, options: &mut std::fs::OpenOptions) -> io::Result<File> {
    without_following(options);
    options.open(path).map_err(|error| {
        let is_link = std::fs::symlink_metadata(path).is_ok_and(|metadata| metadata.is_symlink());
        match is_link {
            true => io::Error::new(
                error.kind(),
                "it is a link, and midoform keeps a file of its own here: delete it",
            ),
            false => error,
        }
    })
}

impl InputFile {
    /// Returns the metadata of the opened file.
    ///
    /// # Errors
    /// Returns the system's error.
    pub fn metadata(&self) -> io::Result<Metadata> {
        self.file.metadata()
    }
}

impl Read for InputFile {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let silent = Instant::now() + self.silence;
        loop {
            match self.file.read(buffer) {
                // Somebody has the pipe open and has not written yet.
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    if Instant::now() >= silent {
                        let seconds = self.silence.as_secs();
                        let message = format!(
                            "it is a pipe, and whoever has it open for writing wrote nothing for {seconds} s"
                        );
                        return Err(io::Error::new(io::ErrorKind::TimedOut, message));
                    }
                    std::thread::sleep(PAUSE);
                }
                Ok(0) if !buffer.is_empty() && self.until.is_some_and(|until| Instant::now() < until) => {
                    std::thread::sleep(PAUSE);
                }
                Ok(0) if !buffer.is_empty() && self.until.is_some() => {
                    let message = "it is a pipe, and nobody writes into it (a pipe can be read only once)";
                    return Err(io::Error::new(io::ErrorKind::TimedOut, message));
                }
                other => {
                    self.until = None;
                    return other;
                }
            }
        }
    }
}

#[cfg(unix)]
fn is_pipe(metadata: &Metadata) -> bool {
    use std::os::unix::fs::FileTypeExt as _;
    metadata.file_type().is_fifo()
}

#[cfg(unix)]
fn without_waiting(options: &mut std::fs::OpenOptions) {
    use std::os::unix::fs::OpenOptionsExt as _;
    options.custom_flags(rustix::fs::OFlags::NONBLOCK.bits().cast_signed());
}

#[cfg(unix)]
fn without_following(options: &mut std::fs::OpenOptions) {
    use std::os::unix::fs::OpenOptionsExt as _;
    let flags = rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK;
    options.custom_flags(flags.bits().cast_signed());
}

#[cfg(not(unix))]
fn is_pipe(_metadata: &Metadata) -> bool {
    false
}

#[cfg(not(unix))]
fn without_waiting(_options: &mut std::fs::OpenOptions) {}

#[cfg(not(unix))]
fn without_following(_options: &mut std::fs::OpenOptions) {}

#[cfg(all(test, unix))]
mod tests {
    use std::io::Write as _;

    use super::*;

    #[test]
    fn a_pipe_that_is_held_open_is_not_waited_for_without_end() {
        let (reader, mut writer) = io::pipe().unwrap();
        rustix::io::ioctl_fionbio(&reader, true).unwrap();
        let file = File::from(std::os::fd::OwnedFd::from(reader));
        let mut pipe = InputFile { file, until: None, silence: Duration::from_millis(50) };
        writer.write_all(b"begin").unwrap();
        let mut buffer = [0; 8];
        assert_eq!(pipe.read(&mut buffer).unwrap(), 5);
        assert_eq!(pipe.read(&mut buffer).unwrap_err().kind(), io::ErrorKind::TimedOut);
        drop(writer);
        assert_eq!(pipe.read(&mut buffer).unwrap(), 0);
    }
}
