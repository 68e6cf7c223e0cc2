//! Where tiles go: each in its own picture's shape, as large as the window allows, in rows. Pure arithmetic in CSS pixels.

use crate::state::Layout;

/// Between tiles, and around them; less between many in little room.
const GAP: f64 = 6.0;
/// What the tiles that are not in focus get of the window's longer side.
const ASIDE: f64 = 0.24;

/// Width and height.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Size {
    /// Across.
    pub width: f64,
    /// Down.
    pub height: f64,
}

/// Where a tile is, from the top left corner of the grid.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Place {
    /// Of its left edge.
    pub left: f64,
    /// Of its top edge.
    pub top: f64,
    /// Its width and height.
    pub size: Size,
}

/// Places tiles of these aspect ratios, width by height, in a window.
pub fn place(window: Size, aspects: &[f64], layout: Layout) -> Vec<Place> {
    let whole = Place {
        left: GAP,
        top: GAP,
        size: Size { width: window.width - 2.0 * GAP, height: window.height - 2.0 * GAP },
    };
    if whole.size.width <= 0.0 || whole.size.height <= 0.0 {
        return vec![Place { size: Size::default(), ..whole }; aspects.len()];
    }
    match (layout, aspects) {
        (Layout::Focus, [first, others @ ..]) if !others.is_empty() => focus(whole, *first, others),
        (Layout::Columns(columns), _) => rows(whole, aspects, usize::from(columns.max(1)), f64::INFINITY),
        _ => grid(whole, aspects),
    }
}

/// In that number of columns that shows the most of the pictures.
fn grid(within: Place, aspects: &[f64]) -> Vec<Place> {
    let candidates = (1..=aspects.len()).map(|columns| rows(within, aspects, columns, within.size.height));
    let area = |places: &Vec<Place>| places.iter().map(|place| place.size.width * place.size.height).sum::<f64>();
    candidates.max_by(|a, b| area(a).total_cmp(&area(b))).unwrap_or_default()
}

fn focus(within: Place, first: f64, others: &[f64]) -> Vec<Place> {
    let Size { width, height } = within.size;
    let (mut main, mut aside) = (within, within);
    if width >= height {
        aside.size.width = width * ASIDE;
        main.size.width = width - aside.size.width - GAP;
        aside.left += main.size.width + GAP;
    } else {
        aside.size.height = height * ASIDE;
        main.size.height = height - aside.size.height - GAP;
        aside.top += main.size.height + GAP;
    }
    let mut places = grid(main, &[first]);
    places.extend(grid(aside, others));
    places
}

/// Rows of so many tiles, each as wide as there is room for; all of them smaller where they are higher than `height` else.
/// A last row with fewer tiles is no higher than the others.
fn rows(within: Place, aspects: &[f64], columns: usize, height: f64) -> Vec<Place> {
    let width = within.size.width;
    // Half of the room at least is for pictures.
    let share = |room: f64, count: usize| room / (2 * count.max(1)) as f64;
    let gap = GAP.min(share(width, columns)).min(share(height, aspects.len().div_ceil(columns)));
    let natural = |row: &[f64]| (width - gap * (row.len() - 1) as f64) / row.iter().sum::<f64>();
    let full = aspects.chunks_exact(columns).map(natural).fold(f64::INFINITY, f64::min);
    let heights: Vec<_> = aspects.chunks(columns).map(|row| natural(row).min(full)).collect();
    let gaps = gap * heights.len().saturating_sub(1) as f64;
    let scale = ((height - gaps) / heights.iter().sum::<f64>()).min(1.0);
    let total = heights.iter().sum::<f64>() * scale + gaps;

    let mut places = Vec::with_capacity(aspects.len());
    let mut top = within.top + ((within.size.height - total) / 2.0).max(0.0);
    for (row, height) in aspects.chunks(columns).zip(heights) {
        let height = height * scale;
        let used = row.iter().sum::<f64>() * height + gap * (row.len() - 1) as f64;
        let mut left = within.left + (width - used) / 2.0;
        for aspect in row {
            let size = Size { width: aspect * height, height };
            places.push(Place { left, top, size });
            left += size.width + gap;
        }
        top += height + gap;
    }
    places
}

#[cfg(all(test, not(target_arch = "wasm32")))]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const WIDE: f64 = 16.0 / 9.0;
    const WINDOW: Size = Size { width: 1292.0, height: 732.0 };

    fn right(place: &Place) -> f64 {
        place.left + place.size.width
    }

    fn bottom(place: &Place) -> f64 {
        place.top + place.size.height
    }

    /// How many share the first row.
    fn columns(places: &[Place]) -> usize {
        places.iter().filter(|place| (place.top - places[0].top).abs() < 0.01).count()
    }

    #[test]
    fn one_picture_fills_the_window_and_four_share_it() {
        let [one] = place(WINDOW, &[WIDE], Layout::Grid)[..] else { panic!() };
        assert!((one.size.width - 1280.0).abs() < 0.01 && (one.left - 6.0).abs() < 0.01, "{one:?}");
        let four = place(WINDOW, &[WIDE; 4], Layout::Grid);
        assert_eq!(columns(&four), 2);
        assert!(four[0].size.width > 620.0, "{four:?}");
    }

    #[test]
    fn the_number_of_columns_follows_the_window() {
        let columns = |width, height, count| columns(&place(Size { width, height }, &vec![WIDE; count], Layout::Grid));
        assert_eq!([1, 2, 3, 4, 5, 9, 16, 25].map(|count| columns(1920.0, 1080.0, count)), [1, 2, 2, 2, 3, 3, 4, 5]);
        assert_eq!([1, 2, 5, 9, 25].map(|count| columns(390.0, 844.0, count)), [1, 1, 1, 2, 3], "a phone");
        assert_eq!(columns(3840.0, 400.0, 4), 4, "a strip of screens");
    }

    #[test]
    fn pictures_of_other_shapes_share_a_row_at_one_height() {
        let strip = Size { height: 380.0, ..WINDOW };
        let places = place(strip, &[WIDE, 9.0 / 16.0, 4.0 / 3.0], Layout::Grid);
        assert_eq!(columns(&places), 3);
        assert!(places.iter().all(|place| (place.size.height - places[0].size.height).abs() < 0.01));
        assert!((right(&places[2]) - 1286.0).abs() < 0.01, "{places:?}");
    }

    #[test]
    fn the_first_is_large_in_focus_and_alone_fills_the_window() {
        let places = place(WINDOW, &[WIDE; 5], Layout::Focus);
        assert!(places[0].size.width > 2.5 * places[1].size.width, "{places:?}");
        assert!(places[1..].iter().all(|place| place.left > right(&places[0])));
        let upright = place(Size { width: 732.0, height: 1292.0 }, &[WIDE; 5], Layout::Focus);
        assert!(upright[1..].iter().all(|place| place.top > bottom(&upright[0])));
        assert_eq!(place(WINDOW, &[WIDE], Layout::Focus), place(WINDOW, &[WIDE], Layout::Grid));
    }

    #[test]
    fn columns_are_as_wide_as_the_window_and_go_on_below_it() {
        let places = place(WINDOW, &[WIDE; 5], Layout::Columns(2));
        assert_eq!(columns(&places), 2);
        assert!(bottom(&places[4]) > WINDOW.height);
        assert!((places[4].size.width - places[0].size.width).abs() < 0.01, "the last is no larger");
        assert_eq!(place(WINDOW, &[WIDE], Layout::Columns(3)).len(), 1);
    }

    #[test]
    fn many_upright_pictures_have_some_room_beside_one() {
        let window = Size { width: 497.0, height: 200.0 };
        let places = place(window, &[0.4; 22], Layout::Focus);
        assert!(places.iter().all(|place| place.size.width > 1.0 && right(place) < window.width), "{places:?}");
    }

    #[test]
    fn nothing_and_no_room_are_no_trouble() {
        assert!(place(WINDOW, &[], Layout::Grid).is_empty());
        assert_eq!(place(Size::default(), &[WIDE; 2], Layout::Focus).len(), 2);
    }

    proptest! {
        #[test]
        fn tiles_keep_their_shape_and_neither_overlap_nor_leave_the_window(
            width in 200.0..4000.0f64,
            height in 200.0..3000.0f64,
            aspects in proptest::collection::vec(0.4..3.0f64, 1..26),
            focus in any::<bool>(),
        ) {
            let layout = if focus { Layout::Focus } else { Layout::Grid };
            let places = place(Size { width, height }, &aspects, layout);
            prop_assert_eq!(places.len(), aspects.len());
            for (n, (tile, aspect)) in places.iter().zip(&aspects).enumerate() {
                prop_assert!((tile.size.width / tile.size.height - aspect).abs() < 1e-6);
                prop_assert!(tile.left >= 0.0 && tile.top >= 0.0);
                prop_assert!(right(tile) <= width + 0.01 && bottom(tile) <= height + 0.01);
                for other in &places[..n] {
                    let apart = right(other) <= tile.left + 0.01 || right(tile) <= other.left + 0.01
                        || bottom(other) <= tile.top + 0.01 || bottom(tile) <= other.top + 0.01;
                    prop_assert!(apart, "{:?} {:?}", tile, other);
                }
            }
        }
    }
}
