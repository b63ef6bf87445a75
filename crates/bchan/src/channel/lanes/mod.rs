//! Channels of lanes: one for each registered producer, and one consumer that goes round them.

mod consumer;
mod producer;
mod ready_list;

pub(super) use consumer::Consumer;
pub(super) use producer::Producer;

use super::ChannelState;
use crate::layout::Bell;
use crate::process::kill_point;
use crate::ring::frames::Lengths;
use crate::ring::lane::Lane;
use crate::sync::Ordering;

impl ChannelState {
    fn lane(&self, index: usize) -> Lane {
        Lane::new(&self.memory, index)
    }

    pub(super) fn lanes(&self) -> std::ops::Range<usize> {
        0..self.memory.geometry().lanes as usize
    }

    pub(super) fn len_of(&self, lane: usize) -> usize {
        let header = self.memory.lane_header(lane);
        // The head first: read later it could have passed this tail. Acquire keeps the order.
        let head = header.head.load(Ordering::Acquire);
        let len = header.tail.load(Ordering::Relaxed).wrapping_sub(head);
        len.min(self.memory.geometry().capacity) as usize
    }

    /// Closes the lanes: what is committed from now on counts only if the consumer has yet to come by.
    pub(super) fn flag_lanes(&self) {
        for lane in self.lanes() {
            // Release: why it is closed; pairs with the fence in `send_error`.
            self.memory.lane_header(lane).bell.flags.fetch_or(Bell::CLOSED, Ordering::Release);
            kill_point!("close.lane");
        }
    }

    /// Whether [`flag_lanes`](Self::flag_lanes) has begun.
    pub(super) fn is_closing_lanes(&self) -> bool {
        let flags = |lane| self.memory.lane_header(lane).bell.flags.load(Ordering::Relaxed);
        self.lanes().any(|lane| flags(lane) & Bell::CLOSED != 0)
    }

    /// Clears up after a producer that died: what it had committed may not be announced.
    pub(super) fn recover_lane(&self, lane: usize) {
        let header = self.memory.lane_header(lane);
        // What was sealed without its last messages it would have taken back.
        let final_tail = header.bell.final_tail.load(Ordering::Acquire);
        let end = final_tail.wrapping_sub(1);
        if final_tail != 0 && header.tail.load(Ordering::Relaxed).wrapping_sub(end) as i64 > 0 {
            header.tail.store(end, Ordering::Relaxed);
        }
        if let Some(lengths) = Lengths::new(&self.memory, lane) {
            lengths.counters().sent.settle(header.tail.load(Ordering::Relaxed));
        }
        header.bell.flags.fetch_or(Bell::SILENT, Ordering::Relaxed);
        kill_point!("recover.lane");
        self.memory.header().rung.insert(lane);
    }

    /// Clears up after the consumer that died: what it was receiving comes again.
    pub(super) fn recover_reader(&self) {
        for lane in self.lanes() {
            if let Some(lengths) = Lengths::new(&self.memory, lane) {
                let head = self.memory.lane_header(lane).head.load(Ordering::Relaxed);
                lengths.counters().received.settle(head);
            }
        }
    }
}
