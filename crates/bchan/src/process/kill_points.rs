//! Dying at a labelled place: `BCHAN_KILL_AT=label` or `label:n` has the process kill itself as it gets
//! there for the n-th time; with `BCHAN_KILL_BY=exec` it executes another program instead.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

struct Target {
    label: String,
    left: AtomicU32,
}

#[inline(never)]
pub(crate) fn reach(label: &str) {
    static TARGET: OnceLock<Option<Target>> = OnceLock::new();
    let target = TARGET.get_or_init(|| {
        let target = std::env::var("BCHAN_KILL_AT").ok()?;
        let (label, times) = target.split_once(':').unwrap_or((&target, "1"));
        Some(Target { label: label.to_owned(), left: AtomicU32::new(times.parse().expect("label:times")) })
    });
    if let Some(target) = target
        && target.label == label
        && target.left.fetch_sub(1, Ordering::Relaxed) == 1
    {
        if std::env::var("BCHAN_KILL_BY").is_ok_and(|way| way == "exec") {
            let error =
                std::os::unix::process::CommandExt::exec(std::process::Command::new("sleep").arg("600"));
            panic!("sleep: {error}");
        }
        let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
    }
}
