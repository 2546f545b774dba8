//! How a number is divided over shards.

/// Divides `total` over shards so that each gets the same, as far as it has room: as water fills vessels of the same
/// width. What cannot be divided goes to the first ones, one each.
///
/// Two properties of it carry the planner, which divides by views of different and of older moments:
///
/// 1. No more than `total` is given out.
/// 2. If no room grew, nobody's part got smaller but by having less room: with `later <= earlier` in each place,
///    `min(later[s], fill(total, earlier)[s]) <= fill(total, later)[s]`. For the level only rises when room is lost,
///    and at the same level at least as much is left over, for fewer.
pub(crate) fn fill(total: u64, rooms: &[u64]) -> Vec<u64> {
    let (level, mut left) = level(total, rooms);
    let part = |room: &u64| {
        let extra = u64::from(*room > level && left > 0);
        left -= extra;
        level.min(*room) + extra
    };
    rooms.iter().map(part).collect()
}

/// How high everybody is filled, and what is left over for those who are not full.
fn level(total: u64, rooms: &[u64]) -> (u64, u64) {
    let mut sorted = rooms.to_vec();
    sorted.sort_unstable();
    let (mut level, mut left) = (0, total);
    for (full, room) in sorted.iter().enumerate() {
        let sharers = (sorted.len() - full) as u64;
        let rise = (left / sharers).min(room - level);
        level += rise;
        left -= rise * sharers;
        if level < *room {
            break;
        }
    }
    (level, left)
}

#[cfg(test)]
mod tests {
    use super::fill;
    use proptest::prelude::*;

    #[test]
    fn everybody_gets_the_same_as_far_as_there_is_room() {
        for (total, rooms, parts) in [
            (0, &[5, 5][..], &[0, 0][..]),
            (3, &[5, 5], &[2, 1]),
            (1, &[0, 0, 9], &[0, 0, 1]),
            (10, &[1, 100, 3], &[1, 6, 3]),
            (10, &[2, 2], &[2, 2]),
            (7, &[], &[]),
            (u64::MAX, &[u64::MAX, u64::MAX], &[1 << 63, (1 << 63) - 1]),
        ] {
            assert_eq!(fill(total, rooms), parts, "{total} over {rooms:?}");
        }
    }

    proptest! {
        #[test]
        fn all_is_given_out_and_no_more(total in 0_u64..60, rooms in prop::collection::vec(0_u64..12, 0..8)) {
            let parts = fill(total, &rooms);
            prop_assert!(parts.iter().zip(&rooms).all(|(part, room)| part <= room));
            prop_assert_eq!(parts.iter().sum::<u64>(), total.min(rooms.iter().sum()));
        }

        #[test]
        fn who_keeps_its_room_loses_nothing_when_others_lose_theirs(
            total in 0_u64..60,
            rooms in prop::collection::vec((0_u64..12, 0_u64..12), 0..8),
        ) {
            let earlier: Vec<u64> = rooms.iter().map(|(room, _)| *room).collect();
            let later: Vec<u64> = rooms.iter().map(|(room, lost)| room.saturating_sub(*lost)).collect();
            let before = fill(total, &earlier);
            let after = fill(total, &later);
            for shard in 0..rooms.len() {
                prop_assert!(before[shard].min(later[shard]) <= after[shard], "{:?} {:?}", before, after);
            }
        }
    }
}
