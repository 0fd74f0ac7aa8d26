//! Certificates for tests, made by openssl.

use std::path::Path;
use std::process::{Command, Stdio};

/// Returns true if openssl is installed.
pub fn can_be_made() -> bool {
    Command::new("openssl").arg("version").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok()
}

/// Makes a CA (`ca.pem`) with `server.pem` for 127.0.0.1 and `client.pem`, each with its key; and another CA
/// (`other.pem`).
pub fn make(folder: &Path) {
    let make = |name: &str, more: &[&str]| {
        let file = |ending: &str| folder.join(format!("{name}.{ending}"));
        let mut command = Command::new("openssl");
        command.args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]);
        command.args(["-days", "2", "-subj", &format!("/CN={name}")]).args(more).current_dir(folder);
        let ran = command.arg("-keyout").arg(file("key")).arg("-out").arg(file("pem")).output().unwrap();
        assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    };
    let signed =
        ["-CA", "ca.pem", "-CAkey", "ca.key", "-addext", "basicConstraints=critical,CA:FALSE", "-addext"];
    make("ca", &[]);
    make("other", &[]);
    make("server", &[&signed[..], &["subjectAltName=IP:127.0.0.1"]].concat());
    make("client", &[&signed[..], &["extendedKeyUsage=clientAuth"]].concat());
}
