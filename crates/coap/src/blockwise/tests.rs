#![expect(clippy::unwrap_used, reason = "a failed unwrap is the test's failure")]
#![expect(
    clippy::disallowed_methods,
    reason = "virtual time has to start somewhere"
)]

use std::time::{Duration, Instant};

use super::*;
use crate::message::Token;
use crate::option::number;

fn block(number: u32, more: bool, size: BlockSize) -> Block {
    Block { number, more, size }
}

#[test]
fn block_options_are_three_bytes_at_most() {
    for (value, expected) in [
        (&[][..], Some(block(0, false, BlockSize::B16))),
        (&[0x0e], Some(block(0, true, BlockSize::B1024))),
        (&[0x12, 0x3c], Some(block(0x123, true, BlockSize::B256))),
        (
            &[0xff, 0xff, 0xf0],
            Some(block(0x000f_ffff, false, BlockSize::B16)),
        ),
        (&[0x07], None),
        (&[0, 0, 0, 0], None),
    ] {
        assert_eq!(Block::from_value(value), expected);
        if let Some(block) = expected {
            let mut options = Options::default();
            block.push(number::BLOCK2, &mut options);
            assert_eq!(options.first(number::BLOCK2), Some(value));
        }
    }
}

#[test]
fn block_sizes_are_powers_of_two() {
    for (bytes, size) in [
        (0, BlockSize::B16),
        (16, BlockSize::B16),
        (31, BlockSize::B16),
        (32, BlockSize::B32),
        (1023, BlockSize::B512),
        (1024, BlockSize::B1024),
        (70_000, BlockSize::B1024),
    ] {
        assert_eq!(BlockSize::at_most(bytes), size, "{bytes}");
    }
    assert_eq!(BlockSize::B1024.bytes(), 1024);
}

#[test]
fn block_numbers_go_up_to_twenty_bits() {
    // A body of 1.1 MB in blocks of 16 bytes has more than 65,536 of them.
    let body = vec![1; 1_100_000];
    let (last, payload) = cut(&body, 68_749, Portion::of(BlockSize::B16)).unwrap();
    assert_eq!(
        (last.offset() + payload.len(), last.more),
        (body.len(), false)
    );
    let mut options = Options::default();
    last.push(number::BLOCK2, &mut options);
    assert_eq!(
        Block::from_value(options.first(number::BLOCK2).unwrap()),
        Some(last)
    );
    assert!(cut(&body, 68_750, Portion::of(BlockSize::B16)).is_none());
    assert!(fits(16 << 20, BlockSize::B16) && !fits((16 << 20) + 1, BlockSize::B16));
    assert!(Block::at(16 << 20, BlockSize::B16).is_none());
}

#[test]
fn a_displaced_transfer_cannot_add_to_the_new_one() {
    let (old, new) = (Token::new(&[1]).unwrap(), Token::new(&[2]).unwrap());
    let mut budget = Budget::new(1000);
    let expires = Instant::now() + Duration::from_secs(1);
    let size = BlockSize::B16;
    let mut accept = |upload: &mut Reassembly, token, number, fill: u8, more| {
        let part = Part {
            block: block(number, more, size),
            token,
            payload: &[fill; 16],
        };
        upload.accept(part, 1000, &mut budget)
    };
    let mut first = Reassembly::new(7, old, None, expires);
    assert_eq!(accept(&mut first, old, 0, 1, true), Accepted::Continue);
    let mut second = Reassembly::new(7, new, Some(first), expires);
    assert_eq!(accept(&mut second, new, 0, 2, true), Accepted::Continue);
    assert_eq!(accept(&mut second, old, 1, 1, false), Accepted::OutOfOrder);
    let whole = accept(&mut second, new, 1, 2, false);
    assert_eq!(whole, Accepted::Complete(vec![2; 32]));
}

#[test]
fn the_budget_of_bodies_is_never_exceeded() {
    let mut budget = Budget::new(100);
    assert_eq!(budget.charge(60), Ok(()));
    assert_eq!(budget.charge(41), Err(OverBudget));
    budget.release(20);
    assert_eq!(budget.charge(60), Ok(()));
    assert_eq!(budget.used(), 100);
}
