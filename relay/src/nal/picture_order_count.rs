//! The picture order count, by which both codecs say where a picture belongs on the screen (Rec. ITU-T H.264, section
//! 8.2.1.1; H.265, section 8.3.1): pictures carry its lower bits, the upper ones follow from the pictures before.

/// The lower bits of a picture's place, and what they count from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Picture {
    /// The lower bits.
    pub(super) lsb: u32,
    /// How many of them there are: 4 to 16.
    pub(super) bits: u32,
    /// Whether counting begins anew with this picture.
    pub(super) restarts: bool,
    /// Whether all pictures before it in the stream are before it on the screen.
    pub(super) barrier: bool,
    /// Whether later pictures count from this one.
    pub(super) anchor: bool,
}

/// See the [module](self).
#[derive(Debug, Default)]
pub(super) struct PictureOrderCount {
    /// Upper part and lower bits of the picture that is counted from.
    anchor: Option<(i64, i64)>,
    /// The furthest place that a picture since the last barrier had.
    furthest: Option<i64>,
}

impl PictureOrderCount {
    /// Counts a picture; says whether it belongs before one that came earlier.
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
        let place = upper + lsb;
        let out_of_order = self.furthest.is_some_and(|furthest| place < furthest && !picture.barrier);
        self.furthest =
            Some(self.furthest.map_or(place, |furthest| if picture.barrier { place } else { furthest.max(place) }));
        out_of_order
    }

    /// Pictures were lost: what their places were is not known.
    pub(super) fn lost(&mut self) {
        self.furthest = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Counts pictures with these places, the first of which begins anew; `bits` lower bits of them are sent.
    fn judge(places: &[i64], bits: u32, anchors: &[bool]) -> Vec<bool> {
        let mut count = PictureOrderCount::default();
        let mut pictures = places.iter().zip(anchors.iter().cycle()).enumerate();
        std::iter::from_fn(|| {
            let (n, (place, anchor)) = pictures.next()?;
            let first = n == 0;
            Some(count.is_out_of_order(Picture {
                lsb: place.rem_euclid(1 << bits) as u32,
                bits,
                restarts: first,
                barrier: first,
                anchor: *anchor || first,
            }))
        })
        .collect()
    }

    #[test]
    fn a_b_frame_is_out_of_order() {
        assert_eq!(judge(&[0, 8, 4, 2, 6, 16], 8, &[true]), [false, false, true, true, true, false]);
        assert_eq!(judge(&[0, 2, 4, 6, 8], 4, &[true]), [false; 5]);
    }

    #[test]
    fn counting_goes_on_over_the_end_of_the_lower_bits() {
        let places: Vec<i64> = (0..100).map(|n| n * 2).collect();
        assert_eq!(judge(&places, 4, &[true]), [false; 100]);
        assert_eq!(judge(&[0, 12, 16, 14], 5, &[true]).last(), Some(&true), "14 of 32 after 16");
        assert_eq!(judge(&[0, 6, 12, 16, 14], 4, &[true]).last(), Some(&true), "14 of 16 after 0");
    }

    #[test]
    fn what_begins_anew_is_in_order() {
        let mut count = PictureOrderCount::default();
        let picture = Picture { lsb: 9, bits: 4, restarts: false, barrier: false, anchor: true };
        assert!(!count.is_out_of_order(picture));
        assert!(!count.is_out_of_order(Picture { lsb: 0, restarts: true, barrier: true, ..picture }));
        assert!(!count.is_out_of_order(Picture { lsb: 4, ..picture }));
        assert!(count.is_out_of_order(Picture { lsb: 2, ..picture }));
        count.lost();
        assert!(!count.is_out_of_order(Picture { lsb: 1, ..picture }));
    }

    proptest! {
        /// However the lower bits wrap, as long as places stay as near to the anchor as the standards demand.
        #[test]
        fn a_picture_is_out_of_order_where_a_further_one_came_before(
            steps in proptest::collection::vec(-3i64..=7, 1..60),
            bits in 4u32..=16,
        ) {
            // With every picture an anchor, a step is the distance from it: less than half of 16.
            let places: Vec<i64> =
                std::iter::once(0).chain(steps.iter().scan(0, |sum, step| { *sum += step; Some(*sum) })).collect();
            let expected: Vec<bool> = (0..places.len())
                .map(|n| places[..n].iter().max().is_some_and(|&furthest| places[n] < furthest))
                .collect();
            prop_assert_eq!(judge(&places, bits, &[true]), expected);
        }
    }
}
