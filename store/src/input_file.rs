//! Reads files that the user names. A pipe that nobody writes into is an error, and does not stop the program for ever. A
//! pipe's content is kept until the program ends, so that it can be read again.

use std::collections::BTreeMap;
use std::fs::{File, Metadata};
use std::io::{self, Cursor, Read};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// The time to wait for somebody who writes into a pipe.
const PATIENCE: Duration = Duration::from_secs(2);

/// The longest time to wait for the next bytes of a pipe that somebody has open.
const SILENCE: Duration = Duration::from_secs(60);

/// The pause between two attempts to read a pipe.
const PAUSE: Duration = Duration::from_millis(5);

/// The most bytes that are read from a pipe.
const LARGEST_PIPE: u64 = 1 << 30;

/// The content of a pipe.
type Content = Arc<[u8]>;

/// The contents of the pipes that were read, by device and inode.
static READ_PIPES: Mutex<BTreeMap<(u64, u64), Content>> = Mutex::new(BTreeMap::new());

/// An opened file or pipe.
#[derive(Debug)]
pub struct InputFile {
    file: File,
    /// The content of a pipe that was read to its end; none for a file, and while a pipe is read.
    content: Option<Cursor<Content>>,
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
    let mut opened = InputFile { file: options.open(path)?, content: None, until, silence: SILENCE };
    if is_pipe {
        opened.content = Some(Cursor::new(content_of(&mut opened)?));
    }
    Ok(opened)
}

/// Returns the content of a pipe: what was read before, or what can be read now.
fn content_of(pipe: &mut InputFile) -> io::Result<Content> {
    let name = name_of(&pipe.file.metadata()?);
    let known = || READ_PIPES.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(content) = known().get(&name) {
        return Ok(content.clone());
    }
    let mut bytes = Vec::new();
    if pipe.take(LARGEST_PIPE).read_to_end(&mut bytes)? as u64 == LARGEST_PIPE {
        return Err(io::Error::other(format!("it is a pipe of more than {LARGEST_PIPE} bytes")));
    }
    let content: Content = bytes.into();
    known().insert(name, content.clone());
    Ok(content)
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
        if let Some(content) = &mut self.content {
            return content.read(buffer);
        }
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
                    let message = "it is a pipe, and nobody writes into it";
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

/// Returns the device and the inode.
#[cfg(unix)]
fn name_of(metadata: &Metadata) -> (u64, u64) {
    use std::os::unix::fs::MetadataExt as _;
    (metadata.dev(), metadata.ino())
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
fn name_of(_metadata: &Metadata) -> (u64, u64) {
    (0, 0)
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
        let mut pipe = InputFile { file, content: None, until: None, silence: Duration::from_millis(50) };
        writer.write_all(b"begin").unwrap();
        let mut buffer = [0; 8];
        assert_eq!(pipe.read(&mut buffer).unwrap(), 5);
        assert_eq!(pipe.read(&mut buffer).unwrap_err().kind(), io::ErrorKind::TimedOut);
        drop(writer);
        assert_eq!(pipe.read(&mut buffer).unwrap(), 0);
    }
}
