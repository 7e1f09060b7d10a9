//! A small file system that can be filled.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use uuid::Uuid;

/// Mounted until dropped, or until this process has ended, however.
pub struct Tmpfs {
    path: PathBuf,
    /// A shell that waits for the end of its standard input, which only this process can write to.
    keeper: Child,
}

impl Tmpfs {
    /// `None`, with a word, where mounting is not allowed.
    pub fn mount(mebibytes: u32) -> Option<Self> {
        let path = std::env::temp_dir().join(format!("eventd-{}", &Uuid::new_v4().simple().to_string()[..8]));
        std::fs::create_dir(&path).unwrap();
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={mebibytes}m,mode=1777"), "tmpfs"])
            .arg(&path)
            .output();
        if !mounted.is_ok_and(|mounted| mounted.status.success()) {
            std::fs::remove_dir(&path).unwrap();
            eprintln!("skipped: a file system cannot be mounted here");
            return None;
        }
        let keeper = Command::new("/bin/sh")
            .args(["-c", r#"while read -r _; do :; done; umount -l "$0"; rmdir "$0""#])
            .arg(&path)
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        Some(Self { path, keeper })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Takes all the room that is left.
    pub fn fill(&self) {
        let mut ballast = File::options().create(true).append(true).open(self.ballast()).unwrap();
        for size in [1 << 20, 1 << 12] {
            while ballast.write_all(&vec![0; size]).is_ok() {}
        }
    }

    /// Gives it back.
    pub fn free(&self) {
        std::fs::remove_file(self.ballast()).unwrap();
    }

    fn ballast(&self) -> PathBuf {
        self.path.join("ballast")
    }
}

impl Drop for Tmpfs {
    fn drop(&mut self) {
        drop(self.keeper.stdin.take());
        let _ = self.keeper.wait();
    }
}
