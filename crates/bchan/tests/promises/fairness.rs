//! Fairness: a turn is at most 255 messages and one claim, and each other lane has at most one
//! before a message comes.

use bchan::{Barrier, Channel, Config, Consumer, Producer};
use bchan::{Receiving, Sending};

use crate::common::{barriers, in_time};

const FLOOD: u64 = 0;
const QUIET: u64 = 1;
/// A turn, but for the claim that ends it.
const TURN: usize = 255;

/// Receives one claim; tells how many messages of the flood came before a quiet one, if one came.
fn receive(rx: &mut Consumer, claim: usize) -> (usize, bool) {
    let n = rx.peek(claim);
    // SAFETY: `peek` found `n` messages.
    let items = unsafe { std::slice::from_raw_parts(rx.front(n).cast::<u64>(), n) };
    let flood = items.iter().take_while(|&&item| item == FLOOD).count();
    rx.release(n);
    (flood, flood < n)
}

/// The longest that a quiet message had to wait, in messages of the floods.
fn longest_wait(mut floods: Vec<Producer>, mut quiet: Producer, mut rx: Consumer, claim: usize) -> usize {
    let (mut waited, mut longest, mut arrived, mut is_outstanding) = (0, 0, 0, false);
    // Long enough for several sweeps, and a prime number of claims between two quiet messages.
    for step in 0..200_000 / claim {
        for flood in &mut floods {
            flood.try_send_all(&[FLOOD; 4096]).unwrap();
        }
        if !is_outstanding && step % 7 == 0 {
            assert_eq!(quiet.try_send(QUIET), Ok(true));
            (waited, is_outstanding) = (0, true);
        }
        let (flood, came) = receive(&mut rx, claim);
        waited += flood;
        if came {
            longest = longest.max(waited);
            (arrived, is_outstanding) = (arrived + 1, false);
        }
    }
    assert!(arrived > 10, "{arrived} quiet messages came");
    longest
}

fn channel(max_producers: usize, barrier: Barrier) -> Channel {
    let barrier = Some(barrier);
    Channel::new(&Config { capacity: 4096, max_producers, barrier, ..Config::default() }).unwrap()
}

#[test]
fn flood_cannot_starve_another_producer() {
    for barrier in barriers() {
        for floods in [1, 3] {
            for quiet_first in [true, false] {
                for claim in [1, 64, 256, 1000] {
                    in_time(move || {
                        let channel = channel(floods + 1, barrier);
                        let mut producers: Vec<_> =
                            (0..=floods).map(|_| channel.producer().unwrap()).collect();
                        let quiet = producers.remove(if quiet_first { 0 } else { floods });
                        let rx = channel.consumer().unwrap();
                        let longest = longest_wait(producers, quiet, rx, claim);
                        let bound = floods * (TURN + claim);
                        assert!(longest <= bound, "waited {longest} of {bound}: {floods} floods of {claim}");
                    });
                }
            }
        }
    }
}

#[test]
fn floods_share_the_consumer_evenly() {
    let channel = channel(4, Barrier::detect());
    let mut producers: Vec<_> = (0..4).map(|_| channel.producer().unwrap()).collect();
    let mut rx = channel.consumer().unwrap();
    let mut received = [0_u64; 4];
    for _ in 0..4000 {
        for (name, tx) in producers.iter_mut().enumerate() {
            tx.try_send_all(&[name as u64; 64]).unwrap();
        }
        let mut buffer = [0_u64; 64];
        let n = rx.try_receive_into(&mut buffer);
        buffer[..n].iter().for_each(|&name| received[name as usize] += 1);
    }
    let (least, most) = (received.iter().min().unwrap(), received.iter().max().unwrap());
    assert!(most - least <= 2 * (TURN as u64 + 64), "{received:?}");
}
