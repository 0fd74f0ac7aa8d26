//! Runs of the plugin, and their results.

use std::io::Write as _;
use std::process::{Child, Command, Output, Stdio};

use serde_json::Value;

/// The result of a run of the plugin.
#[derive(Debug)]
#[must_use]
pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl From<Output> for Ran {
    fn from(output: Output) -> Self {
        Ran {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

impl From<Child> for Ran {
    /// Waits for the end of a run, and returns its result.
    fn from(child: Child) -> Self {
        child.wait_with_output().unwrap().into()
    }
}

impl Ran {
    /// Returns the one document on standard output of a run that succeeded.
    #[track_caller]
    pub(crate) fn ok(self) -> Value {
        assert_eq!(self.code, 0, "stdout:\n{}\nstderr:\n{}", self.stdout, self.stderr);
        if self.stdout.is_empty() { Value::Null } else { serde_json::from_str(&self.stdout).unwrap() }
    }

    /// Returns the code of the error that the run reported.
    pub(crate) fn error_code(&self) -> u32 {
        let error: Value =
            serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {self:?}"));
        u32::try_from(error["code"].as_u64().unwrap()).unwrap()
    }

    /// Returns the error of a run that failed, and asserts that it has this code.
    #[track_caller]
    pub(crate) fn error(self, code: u32) -> Value {
        assert_ne!(self.code, 0, "stdout:\n{}\nstderr:\n{}", self.stdout, self.stderr);
        let error: Value =
            serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {self:?}"));
        assert_eq!(error["code"], code, "{error}\n{}", self.stderr);
        error
    }
}

/// Runs the plugin with a configuration on its standard input.
pub(crate) fn run(command: Command, config: &Value) -> Ran {
    started(command, config.to_string().as_bytes()).into()
}

/// Starts the plugin with this on its standard input.
pub(crate) fn started(mut command: Command, input: &[u8]) -> Child {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    // A plugin that needs no configuration may have ended already.
    let _ = child.stdin.take().unwrap().write_all(input);
    child
}
