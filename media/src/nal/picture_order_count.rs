//! The picture order count, the presentation order of both codecs (Rec. ITU-T H.264, section 8.2.1.1; H.265, section 8.3.1).
//! Pictures have its lower bits; the upper bits follow from earlier pictures.

/// The lower bits of a picture's order count, and its reference.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Picture {
    /// The lower bits.
    pub(super) lsb: u32,
    /// Number of lower bits, 4 to 16.
    pub(super) bits: u32,
    /// Whether the count restarts with this picture.
    pub(super) restarts: bool,
    /// Whether all earlier pictures in decode order precede it in presentation order.
    pub(super) barrier: bool,
    /// Whether later pictures derive their count from this one.
    pub(super) anchor: bool,
}

/// See the [module](self).
#[derive(Debug, Default)]
pub(super) struct PictureOrderCount {
    /// Upper part and lower bits of the reference picture.
    anchor: Option<(i64, i64)>,
    /// The maximum count since the last barrier.
    furthest: Option<i64>,
}

impl PictureOrderCount {
    /// Records a picture. Returns whether it precedes an earlier one in presentation order.
    pub(super) fn is_out_of_order(&mut self, picture: Picture) -> bool {
        let (lsb, max) = (i64::from(picture.lsb), 1i64 << picture.bits);
        let upper = match self.anchor.filter(|_| !picture.restarts) {
            None => 0,
            Some((upper, before)) if lsb < before && before - lsb >= max / 2 => upper + max,
            Some((upper, before)) if lsb > before && lsb - before > max / 2 => upper - max,
            Some((upper, _)) => upper,
        };
        if picture.anchor {
            self.anchor = Some((upper, lsb));
        }
        let count = upper + lsb;
        let out_of_order = self.furthest.is_some_and(|furthest| count < furthest && !picture.barrier);
        self.furthest =
            Some(self.furthest.map_or(count, |furthest| if picture.barrier { count } else { furthest.max(count) }));
        out_of_order
    }

    /// Records lost pictures, which have an unknown order count.
    pub(super) fn lost(&mut self) {
        self.furthest = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Records pictures with these order counts, of which `bits` lower bits are sent. The count restarts at the first.
    fn out_of_order(counts: &[i64], bits: u32, anchors: &[bool]) -> Vec<bool> {
        let mut poc = PictureOrderCount::default();
        let mut pictures = counts.iter().zip(anchors.iter().cycle()).enumerate();
        std::iter::from_fn(|| {
            let (n, (count, anchor)) = pictures.next()?;
            let first = n == 0;
            Some(poc.is_out_of_order(Picture {
                lsb: count.rem_euclid(1 << bits) as u32,
                bits,
                restarts: first,
                barrier: first,
                anchor: *anchor || first,
            }))
        })
        .collect()
    }

    #[test]
    fn b_frame_is_out_of_order() {
        assert_eq!(out_of_order(&[0, 8, 4, 2, 6, 16], 8, &[true]), [false, false, true, true, true, false]);
        assert_eq!(out_of_order(&[0, 2, 4, 6, 8], 4, &[true]), [false; 5]);
    }

    #[test]
    fn wrapped_lsb_continues_the_count() {
        let counts: Vec<i64> = (0..100).map(|n| n * 2).collect();
        assert_eq!(out_of_order(&counts, 4, &[true]), [false; 100]);
        assert_eq!(out_of_order(&[0, 12, 16, 14], 5, &[true]).last(), Some(&true), "14 of 32 after 16");
        assert_eq!(out_of_order(&[0, 6, 12, 16, 14], 4, &[true]).last(), Some(&true), "14 of 16 after 0");
    }

    #[test]
    fn restart_and_loss_begin_a_new_order() {
        let mut poc = PictureOrderCount::default();
        let picture = Picture { lsb: 9, bits: 4, restarts: false, barrier: false, anchor: true };
        assert!(!poc.is_out_of_order(picture));
        assert!(!poc.is_out_of_order(Picture { lsb: 0, restarts: true, barrier: true, ..picture }));
        assert!(!poc.is_out_of_order(Picture { lsb: 4, ..picture }));
        assert!(poc.is_out_of_order(Picture { lsb: 2, ..picture }));
        poc.lost();
        assert!(!poc.is_out_of_order(Picture { lsb: 1, ..picture }));
    }

    proptest! {
        /// For any wrap-around, while counts stay as close to the anchor as the standards require.
        #[test]
        fn picture_below_the_maximum_is_out_of_order(
            steps in proptest::collection::vec(-3i64..=7, 1..60),
            bits in 4u32..=16,
        ) {
            // Every picture is an anchor, so a step is the distance from it: less than half of 16.
            let counts: Vec<i64> =
                std::iter::once(0).chain(steps.iter().scan(0, |sum, step| { *sum += step; Some(*sum) })).collect();
            let expected: Vec<bool> = (0..counts.len())
                .map(|n| counts[..n].iter().max().is_some_and(|&furthest| counts[n] < furthest))
                .collect();
            prop_assert_eq!(out_of_order(&counts, bits, &[true]), expected);
        }
    }
}
