//! What a channel cannot be is an error that names the value and the limit.

use bchan::{Barrier, Channel, Config, ConfigError, MAX_CAPACITY, MAX_PRODUCERS, Mode, SendSlots};
use bchan::{Receiving, Sending, SendingFrames};

const GIB: usize = 1 << 30;

fn refused(config: &Config) -> ConfigError {
    Channel::new(config).expect_err("it can't be made")
}

#[track_caller]
fn names(error: &ConfigError, value: usize, limit: usize) {
    let text = error.to_string();
    assert!(text.contains(&value.to_string()) && text.contains(&limit.to_string()), "{text}");
}

#[test]
fn capacity_out_of_range_is_refused() {
    for value in [0, MAX_CAPACITY + 1, usize::MAX] {
        let error = refused(&Config { capacity: value, ..Config::default() });
        assert_eq!(error, ConfigError::Capacity { value, limit: MAX_CAPACITY });
        names(&error, value, MAX_CAPACITY);
    }
}

#[test]
fn item_size_out_of_range_is_refused() {
    for value in [0, GIB + 1, usize::MAX] {
        let error = refused(&Config { item_size: value, ..Config::default() });
        assert_eq!(error, ConfigError::ItemSize { value, limit: GIB });
        names(&error, value, GIB);
    }
}

#[test]
fn number_of_producers_out_of_range_is_refused() {
    for value in [0, MAX_PRODUCERS + 1, usize::MAX] {
        let error = refused(&Config { max_producers: value, ..Config::default() });
        assert_eq!(error, ConfigError::MaxProducers { value, limit: MAX_PRODUCERS });
        names(&error, value, MAX_PRODUCERS);
    }
}

/// However large the product of the numbers is, it neither overflows nor crashes.
#[test]
fn ring_beyond_memory_is_refused() {
    for (item_size, capacity) in [(8, MAX_CAPACITY), (GIB, MAX_CAPACITY), (GIB, 1 << 20), (1, MAX_CAPACITY)] {
        let error = refused(&Config { item_size, capacity, ..Config::default() });
        match &error {
            ConfigError::Memory { needed, available } => {
                assert!(needed > available);
                names(&error, *needed as usize, *available as usize);
            }
            ConfigError::Map { bytes, reason } => {
                assert!(!reason.is_empty());
                names(&error, *bytes as usize, *bytes as usize);
            }
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn rings_beyond_the_address_space_are_refused() {
    // Each ring would fit; 4,096 of them do not. Where untouched memory is free they may.
    let config = Config { item_size: GIB, capacity: 4, max_producers: MAX_PRODUCERS, ..Config::default() };
    match Channel::new(&config) {
        Ok(channel) => assert!(channel.stats().bytes_mapped >= (4 * GIB * MAX_PRODUCERS) as u64),
        Err(error) => assert!(matches!(error, ConfigError::Memory { .. } | ConfigError::Map { .. })),
    }
}

#[test]
fn capacity_is_what_was_asked_for() {
    let modes = [(Mode::Mpsc, 1), (Mode::Mpsc, 2), (Mode::Spmc, 1), (Mode::Mpmc, 2)];
    for (capacity, (mode, max_producers)) in
        [1, 2, 3, 5, 6, 7, 1000, 1025].into_iter().flat_map(|capacity| modes.map(|mode| (capacity, mode)))
    {
        let config = Config { mode, capacity, max_producers, ..Config::default() };
        let channel = Channel::new(&config).unwrap();
        assert_eq!(channel.capacity(), capacity);
        let mut tx = channel.producer().unwrap();
        assert_eq!(tx.capacity(), capacity);
        assert_eq!(tx.try_send_all(&vec![0_u64; capacity + 1]), Ok(capacity));
        let frames = Channel::of_frames(&config).unwrap();
        assert_eq!((frames.capacity(), frames.max_len()), (capacity, capacity * 64));
        let mut tx = frames.frame_producer().unwrap();
        assert_eq!((0..=capacity).filter(|_| tx.try_send(&[7; 64], 0) == Ok(true)).count(), capacity);
    }
}

/// Bytes of memory that this process really uses.
#[cfg(target_os = "linux")]
fn resident() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    statm.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * rustix::param::page_size()
}

#[cfg(target_os = "linux")]
#[test]
fn unused_lanes_cost_address_space_only() {
    let before = resident();
    let config =
        Config { item_size: 8, capacity: 1 << 16, max_producers: MAX_PRODUCERS, ..Config::default() };
    let channel = Channel::new(&config).unwrap();
    let mut producers: Vec<_> = (0..MAX_PRODUCERS).map(|_| channel.producer().unwrap()).collect();
    assert_eq!(producers[MAX_PRODUCERS - 1].try_send(1_u64), Ok(true));
    assert_eq!(channel.consumer().unwrap().receive(), Ok(1_u64));
    let (used, mapped) = (resident().saturating_sub(before), channel.stats().bytes_mapped);
    // Other tests run beside this one, so it is only about the size.
    assert!(mapped > 2 * GIB as u64 && used < GIB / 2, "{used} bytes used of {mapped}");
}

/// Of the memory that is mapped only what was touched is there, and it stays the channel's.
#[cfg(all(target_os = "linux", not(feature = "portable")))]
#[test]
fn touched_pages_are_resident() {
    for is_shared in [false, true] {
        let config =
            Config { item_size: 8, capacity: 1 << 20, max_producers: 1, is_shared, ..Config::default() };
        let channel = Channel::new(&config).unwrap();
        let before = channel.resident_bytes().unwrap();
        let (mut tx, mut rx) = (channel.producer().unwrap(), channel.consumer().unwrap());
        let (messages, half) = (vec![7_u64; 1 << 19], 8 << 19);
        assert_eq!(tx.try_send_all(&messages), Ok(messages.len()));
        let grown = channel.resident_bytes().unwrap() - before;
        // Headers and the states of a shared ring come along; nothing else may.
        assert!((half..half + half / 4).contains(&grown), "{grown} bytes for {half} of messages");
        assert_eq!(crate::common::receive_all::<8>(&mut rx).len(), messages.len());
        assert_eq!(channel.resident_bytes().unwrap() - before, grown);
    }
}

#[cfg(feature = "portable")]
#[test]
fn plain_memory_does_not_tell_what_is_resident() {
    let error = Channel::new(&Config::default()).unwrap().resident_bytes().unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::Unsupported);
}

/// Asking for what the system lacks gives what it has, and says so.
#[test]
fn barrier_is_one_that_the_system_has() {
    for asked in [None, Some(Barrier::Fence), Some(Barrier::Membarrier)] {
        let channel = Channel::new(&Config { barrier: asked, ..Config::default() }).unwrap();
        let expected = if asked == Some(Barrier::Fence) { Barrier::Fence } else { Barrier::detect() };
        assert_eq!(channel.stats().barrier, expected);
    }
}

#[test]
#[should_panic(expected = "the channel's item size")]
fn type_of_another_size_is_refused() {
    let channel = Channel::new(&Config { item_size: 8, ..Config::default() }).unwrap();
    let _ = channel.producer().unwrap().try_send(1_u32);
}
