//! Other processes, told of by the kernel and the shell alone: a small system has neither `ps` nor `kill`.

use std::path::Path;
use std::process::Command;

/// Sends a signal by its short name, `TERM` for instance.
///
/// # Panics
/// When there is no such process.
pub(crate) fn signal(process: u32, name: &str) {
    // In every shell `kill` is built in.
    let sent = Command::new("/bin/sh")
        .args(["-c", r#"kill -s "$1" "$2""#, "kill", name, &process.to_string()])
        .output();
    let sent = sent.unwrap();
    assert!(
        sent.status.success(),
        "kill -s {name} {process}: {}",
        String::from_utf8_lossy(&sent.stderr)
    );
}

/// Whether a process runs. One that has ended and only waits to be collected by its parent does not.
pub(crate) fn runs(process: u32) -> bool {
    if Path::new("/proc/self/stat").exists() {
        // "pid (name) state ..", and the name may hold anything.
        let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
        return stat
            .rsplit(") ")
            .next()
            .is_some_and(|rest| !rest.is_empty() && !rest.starts_with(['Z', 'X']));
    }
    let state = Command::new("ps")
        .args(["-o", "stat=", "-p", &process.to_string()])
        .output()
        .unwrap();
    let state = String::from_utf8(state.stdout).unwrap();
    !state.trim().is_empty() && !state.trim().starts_with('Z')
}
