//! The examinations of `midoform doctor`. Each returns findings, and changes nothing but the counters by which one asks OVN's programs
//! whether they follow (`nb_cfg`, `next_cfg`), as `ovn-nbctl --wait` and `ovs-vsctl` do.

pub(crate) mod files;
pub(crate) mod machine;
pub(crate) mod open_vswitch;
pub(crate) mod ovn;
pub(crate) mod plugin;
pub(crate) mod services;

use std::process::Stdio;
use std::time::Duration;

use serde::Serialize;
use tokio::io::AsyncWriteExt as _;

/// The longest time that a program may take that an examination starts.
const PATIENCE: Duration = Duration::from_secs(15);

/// The judgement of an examination.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Verdict {
    /// Nothing is wrong.
    Right,
    /// It works, and may be a mistake.
    Doubtful,
    /// It does not work.
    Wrong,
    /// It was not examined, for the reason in the finding.
    Skipped,
}

impl Verdict {
    /// Returns the sign for people.
    pub(crate) fn sign(self) -> &'static str {
        match self {
            Verdict::Right => "✓",
            Verdict::Doubtful => "!",
            Verdict::Wrong => "✗",
            Verdict::Skipped => "-",
        }
    }
}

/// The result of one examination.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Finding {
    /// What was examined, in a word or two.
    pub(crate) about: &'static str,
    pub(crate) verdict: Verdict,
    /// What was found.
    pub(crate) found: String,
    /// What to do; none if there is nothing to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) advice: Option<String>,
}

impl Finding {
    pub(crate) fn right(about: &'static str, found: impl Into<String>) -> Finding {
        Finding { about, verdict: Verdict::Right, found: found.into(), advice: None }
    }

    pub(crate) fn wrong(about: &'static str, found: impl Into<String>, advice: impl Into<String>) -> Finding {
        Finding { about, verdict: Verdict::Wrong, found: found.into(), advice: Some(advice.into()) }
    }

    pub(crate) fn doubtful(
        about: &'static str,
        found: impl Into<String>,
        advice: impl Into<String>,
    ) -> Finding {
        Finding { verdict: Verdict::Doubtful, ..Finding::wrong(about, found, advice) }
    }

    pub(crate) fn skipped(about: &'static str, reason: impl Into<String>) -> Finding {
        Finding { verdict: Verdict::Skipped, ..Finding::right(about, reason) }
    }
}

/// The end of a program that an examination started.
pub(crate) struct Ended {
    pub(crate) succeeded: bool,
    pub(crate) output: String,
}

/// Runs a program with this input, and returns its output. An error says why it did not run to its end.
pub(crate) async fn run(mut command: tokio::process::Command, input: &str) -> Result<Ended, String> {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).kill_on_drop(true);
    let mut child = command.spawn().map_err(|error| error.to_string())?;
    let mut stdin = child.stdin.take();
    let input = input.as_bytes().to_vec();
    let ended = async {
        if let Some(stdin) = &mut stdin {
            // A program that does not read its input may have ended already.
            let _ = stdin.write_all(&input).await;
        }
        drop(stdin.take());
        child.wait_with_output().await
    };
    match tokio::time::timeout(PATIENCE, ended).await {
        Err(_) => Err(format!("it did not end within {} s", PATIENCE.as_secs())),
        Ok(Err(error)) => Err(error.to_string()),
        Ok(Ok(output)) => Ok(Ended {
            succeeded: output.status.success(),
            output: String::from_utf8_lossy(&output.stdout).into_owned(),
        }),
    }
}
