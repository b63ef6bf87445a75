//! What the threads called, what came back, and when.

use std::fmt;

#[derive(Debug, Clone)]
pub enum Call {
    /// The first `sent` of `items` were accepted.
    Send { items: Vec<u64>, sent: usize },
    /// At most `most` were asked for.
    Receive { most: usize, received: Vec<u64> },
}

/// A call in the time of the tokens: one token when it is invoked, one when it has responded.
#[derive(Debug, Clone)]
pub struct Operation {
    pub thread: usize,
    pub call: Call,
    pub invoked: u64,
    pub responded: u64,
}

/// At most 64 operations, in the order of their invocation. No message is sent twice.
#[derive(Debug, Clone)]
pub struct History(Vec<Operation>);

impl History {
    pub fn new(mut operations: Vec<Operation>) -> Self {
        assert!(operations.len() <= 64, "at most 64 operations, got {}", operations.len());
        operations.sort_by_key(|operation| operation.invoked);
        Self(operations)
    }
}

impl std::ops::Deref for History {
    type Target = [Operation];

    fn deref(&self) -> &[Operation] {
        &self.0
    }
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Send { items, sent } => write!(f, "send {items:?} -> {sent}"),
            Self::Receive { most, received } => write!(f, "receive {most} -> {received:?}"),
        }
    }
}

/// A line for each operation, with a bar from its invocation to its response.
impl fmt::Display for History {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let end = self.iter().map(|operation| operation.responded).max().unwrap_or(0) as usize + 1;
        writeln!(f, "  # thread  {:end$}  call", "time")?;
        for (number, Operation { thread, call, invoked, responded }) in self.iter().enumerate() {
            let (start, length) = (*invoked as usize, (responded - invoked) as usize);
            let bar = format!("{:start$}|{:-<length$}", "", "", length = length - 1) + "|";
            writeln!(f, "{number:3} {thread:6}  {bar:end$}  {call}")?;
        }
        Ok(())
    }
}
