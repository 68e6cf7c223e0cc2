//! How tiles share the window: as square a grid as their number allows, so that each is as large as it can be where
//! window and pictures have about the same shape. The style sheet turns it on its side for upright windows.

/// The columns and rows for `count` tiles.
pub fn shape(count: usize) -> (usize, usize) {
    let columns = (1..=count).find(|n| n * n >= count).unwrap_or(1);
    (columns, count.div_ceil(columns).max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_of_tiles_fits_without_an_empty_row() {
        assert_eq!(
            [1, 2, 3, 4, 5, 9, 10, 25].map(shape),
            [(1, 1), (2, 1), (2, 2), (2, 2), (3, 2), (3, 3), (4, 3), (5, 5)]
        );
        for count in 1..200 {
            let (columns, rows) = shape(count);
            assert!(columns * rows >= count && columns * (rows - 1) < count, "{count}");
        }
        assert_eq!(shape(0), (1, 1));
    }
}
