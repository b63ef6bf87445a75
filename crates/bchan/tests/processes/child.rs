//! Processes: starting them, and what one finds when it starts.

use std::collections::HashMap;
use std::fs::OpenOptions;
use std::os::fd::AsRawFd;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use bchan::{Channel, Token, Tuning};

use crate::common::Random;
use crate::ledger::Ledger;
use crate::{Kind, forks, programs, soak};

/// What a process is to do, and with what.
#[derive(Debug, Clone)]
pub struct Order {
    pub role: &'static str,
    /// Its number as a producer and a consumer. The next one is its, too.
    pub id: usize,
    pub kind: Kind,
    pub seed: u64,
    /// Where it dies.
    pub kill_at: Option<String>,
    /// It executes another program there instead.
    pub executes: bool,
    pub token: Option<Token>,
}

impl Order {
    pub fn new(role: &'static str, id: usize, kind: Kind) -> Self {
        Self { role, id, kind, seed: id as u64 + 1, kill_at: None, executes: false, token: None }
    }

    pub fn start(&self, channel: &Channel, ledger: &Ledger) -> Process {
        let fd = channel.fd().expect("a channel that processes share").as_raw_fd();
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", "role", "--nocapture", "--test-threads=1"]).stdout(Stdio::null());
        command.env("BCHAN_ROLE", self.role).env("BCHAN_LEDGER", ledger.path());
        command.env("BCHAN_CHANNEL", format!("/proc/{}/fd/{fd}", std::process::id()));
        command.env("BCHAN_ID", self.id.to_string()).env("BCHAN_KIND", format!("{:?}", self.kind));
        command.env("BCHAN_RANDOM", self.seed.to_string());
        if self.executes {
            command.env("BCHAN_KILL_BY", "exec");
        }
        if let Some(place) = &self.kill_at {
            command.env("BCHAN_KILL_AT", place);
        }
        if let Some(Token { registry_slot, word }) = self.token {
            command.env("BCHAN_TICKET", format!("{registry_slot}:{word}"));
        }
        Process { child: command.spawn().unwrap(), order: self.clone() }
    }
}

/// A process that was started. It goes with this.
#[derive(Debug)]
pub struct Process {
    child: Child,
    pub order: Order,
}

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    Left,
    Killed,
}

impl Process {
    pub fn kill(&mut self) {
        let _ = self.child.kill();
    }

    /// How it has ended, if it has.
    pub fn ended(&mut self) -> Option<End> {
        let name = std::fs::read_to_string(format!("/proc/{}/comm", self.child.id()));
        if name.is_ok_and(|name| name == "sleep\n") {
            return Some(End::Killed);
        }
        self.child.try_wait().unwrap().map(|status| match status.signal() {
            Some(libc::SIGKILL) => End::Killed,
            _ => {
                assert!(status.success(), "{:?}: {status}", self.order);
                End::Left
            }
        })
    }

    pub fn wait(&mut self, limit: Duration) -> Option<End> {
        let start = Instant::now();
        loop {
            match self.ended() {
                None if start.elapsed() < limit => std::thread::sleep(Duration::from_micros(200)),
                end => return end,
            }
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What a process has.
#[derive(Debug)]
pub struct Stage {
    pub channel: Channel,
    pub ledger: Ledger,
    pub kind: Kind,
    pub id: usize,
    pub random: Random,
    pub token: Option<Token>,
    begun: Instant,
}

impl Stage {
    /// Whether to go on. Nobody plays for longer than a test may take.
    pub fn is_on(&self) -> bool {
        let is_late = self.begun.elapsed() > Duration::from_secs(600);
        self.ledger.stop().load(Ordering::Relaxed) == 0 && !is_late && !self.ledger.is_nearly_full()
    }

    /// Tells the test that it is where it should be.
    pub fn is_ready(&self) {
        self.ledger.ready().fetch_add(1, Ordering::Release);
    }
}

/// Plays the role that the environment names.
pub fn play() {
    let settings: HashMap<String, String> = std::env::vars().collect();
    let Some(role) = settings.get("BCHAN_ROLE") else { return };
    if role == "soak" {
        return soak::run(settings["BCHAN_RANDOM"].parse().unwrap(), &settings["BCHAN_SOAK"]);
    }
    // SAFETY: it touches no memory.
    unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) };
    let memory = OpenOptions::new().read(true).write(true).open(&settings["BCHAN_CHANNEL"]).unwrap();
    let seed = settings["BCHAN_RANDOM"].parse::<u64>().unwrap();
    let kinds =
        Kind::ITEMS.iter().chain(&Kind::FRAMES).find(|kind| format!("{kind:?}") == settings["BCHAN_KIND"]);
    let token = settings.get("BCHAN_TICKET").map(|token| {
        let (registry_slot, word) = token.split_once(':').unwrap();
        Token { registry_slot: registry_slot.parse().unwrap(), word: word.parse().unwrap() }
    });
    let stage = Stage {
        channel: Channel::attach(memory.into(), Tuning::default()).unwrap(),
        ledger: Ledger::open(Path::new(&settings["BCHAN_LEDGER"])),
        kind: *kinds.unwrap(),
        id: settings["BCHAN_ID"].parse().unwrap(),
        random: Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15)),
        token,
        begun: Instant::now(),
    };
    match role.as_str() {
        "producer" => programs::produce(stage),
        "consumer" => programs::consume(stage),
        "port_sender" => programs::send_by_port(stage),
        "port_receiver" => programs::receive_by_port(stage),
        "closer" => stage.channel.close(),
        "registered_closer" => programs::close_seated(stage),
        "heir" => programs::inherit(stage),
        "prey" => programs::be_prey(stage),
        "torn_prey" => programs::be_torn(stage),
        "recovery_lock" => programs::recover(stage),
        "starved" => programs::starve(stage),
        "ender" => programs::find_the_end(stage),
        "taker" => forks::take_over(&stage),
        "token_sender" => forks::send_token(&stage),
        fork if fork.starts_with("fork_") => forks::fork(fork, &stage),
        other => panic!("no role {other}"),
    }
}
