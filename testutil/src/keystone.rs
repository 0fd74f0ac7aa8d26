//! Real Keystones, as `scripts/test.sh` installs them.

use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

fn data(name: &str) -> PathBuf {
    crate::root().join("simulator/tests/keystone").join(name)
}

/// A Keystone in a process of its own, with the administrator `admin` whose password is `secret`.
pub struct RealKeystone {
    child: Child,
    /// The URL without a version.
    pub url: String,
    folder: tempfile::TempDir,
    installed: PathBuf,
}

impl Drop for RealKeystone {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl RealKeystone {
    /// Starts Keystone 30, which has v3.
    pub fn v3() -> Option<RealKeystone> {
        RealKeystone::start("30", "initialize_public_application", "")
    }

    /// Starts Keystone 12, the last with v2.0.
    pub fn v2() -> Option<RealKeystone> {
        let paste = data("paste.ini").display().to_string();
        let config = format!("[paste_deploy]\nconfig_file = {paste}\n");
        RealKeystone::start("12", "initialize_admin_application", &config)
    }

    /// Sets up a Keystone in its own folder and starts it; none if it is not installed.
    fn start(release: &str, application: &str, config: &str) -> Option<RealKeystone> {
        let installed = crate::root().join("target/keystone").join(release);
        if !installed.join("bin/keystone-manage").exists() {
            println!("SKIPPED: Keystone {release} is not installed; scripts/test.sh says why");
            return None;
        }
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().display();
        for keys in ["fernet", "credential"] {
            std::fs::create_dir(folder.path().join(keys)).unwrap();
        }
        let config = format!(
            "[DEFAULT]\nlog_file = {place}/keystone.log\n[database]\nconnection = sqlite:///{place}/keystone.db\n[token]\n\
             provider = fernet\n[fernet_tokens]\nkey_repository = {place}/fernet\n[fernet_receipts]\nkey_repository = \
             {place}/fernet\n[credential]\nkey_repository = {place}/credential\n[identity]\npassword_hash_rounds = 4\n\
             [cache]\nenabled = false\n{config}"
        );
        std::fs::write(folder.path().join("keystone.conf"), config).unwrap();
        let child = Command::new("true").spawn().unwrap();
        let mut real = RealKeystone { child, url: String::new(), folder, installed };
        real.manage(&["db_sync"]);
        let name = |flag: &str| {
            let out = Command::new("id").arg(flag).output().unwrap();
            String::from_utf8(out.stdout).unwrap().trim().to_owned()
        };
        real.manage(&["fernet_setup", "--keystone-user", &name("-un"), "--keystone-group", &name("-gn")]);
        real.bootstrap(&[["--bootstrap-password", "secret"], ["--bootstrap-username", "admin"]]);
        let mut serving = real.command("python");
        serving.arg(data("wsgi.py")).env("APPLICATION", application);
        real.child =
            serving.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(real.child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let port = line.trim().strip_prefix("port ").expect("Keystone starts");
        real.url = format!("http://127.0.0.1:{port}");
        Some(real)
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(self.installed.join("bin").join(program));
        command
            .env("OS_KEYSTONE_CONFIG_DIR", self.folder.path())
            .env("OS_KEYSTONE_CONFIG_FILES", self.folder.path().join("keystone.conf"));
        command
    }

    fn manage(&self, arguments: &[&str]) {
        let mut command = self.command("keystone-manage");
        command.arg("--config-file").arg(self.folder.path().join("keystone.conf")).args(arguments);
        let out = command.output().unwrap();
        assert!(
            out.status.success(),
            "keystone-manage {arguments:?}: {}",
            String::from_utf8_lossy(&out.stderr)
        );
    }

    /// Creates a user with a role in a project, by the flags of `keystone-manage bootstrap`.
    pub fn bootstrap(&self, with: &[[&str; 2]]) {
        let url = "http://127.0.0.1/identity";
        let mut arguments = vec!["bootstrap", "--bootstrap-region-id", "RegionOne"];
        for place in ["--bootstrap-admin-url", "--bootstrap-public-url", "--bootstrap-internal-url"] {
            arguments.extend([place, url]);
        }
        arguments.extend(with.iter().flatten());
        self.manage(&arguments);
    }
}
