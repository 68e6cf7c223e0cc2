//! Computes the positions of tiles: rows of tiles with their videos' aspect ratios, as large as the window allows. Pure
//! arithmetic in CSS pixels.

use crate::state::Layout;

/// Gap between tiles; smaller between many tiles in little space.
const GAP: f64 = 2.0;
/// A window within these sides, in either orientation, is a phone's, or is zoomed as far.
const PHONE: (f64, f64) = (500.0, 1000.0);
/// Minimum width of a tile on a phone, where the page scrolls: a smaller tile shows neither details nor its name, and has no
/// space for touch targets.
const PHONE_TILE: f64 = 300.0;
/// Share of the window's longer side for the tiles that are not in focus.
const ASIDE: f64 = 0.24;
/// A mosaic, in which one tile is much larger than the others, must cover this much more of the window than rows: equal sizes
/// are easier to watch.
const MOSAIC_GAIN: f64 = 0.12;
/// Relative difference of sizes below which tiles count as equal: gaps cause small differences.
const EQUAL: f64 = 0.02;

/// Width and height.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Size {
    /// Horizontal.
    pub width: f64,
    /// Vertical.
    pub height: f64,
}

/// The position of a tile, from the top left corner of the grid.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Place {
    /// Its left edge.
    pub left: f64,
    /// Its top edge.
    pub top: f64,
    /// Its width and height.
    pub size: Size,
}

/// Places tiles of these aspect ratios, width by height, in a window.
pub fn place(window: Size, aspects: &[f64], layout: Layout) -> Vec<Place> {
    let whole = Place { left: 0.0, top: 0.0, size: window };
    if window.width <= 0.0 || window.height <= 0.0 {
        return vec![Place { size: Size::default(), ..whole }; aspects.len()];
    }
    match (layout, aspects) {
        (Layout::Focus, [first, others @ ..]) if !others.is_empty() => focus(whole, *first, others),
        (Layout::Columns(columns), _) => rows(whole, aspects, usize::from(columns.max(1)), f64::INFINITY),
        _ => fit(whole, aspects),
    }
}

/// The direction of an arrow key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// To the left; at the left edge to the previous tile.
    Left,
    /// To the right; at the right edge to the next tile.
    Right,
    /// Up.
    Up,
    /// Down.
    Down,
}

impl Direction {
    /// The direction of a key, by its name in the UI Events specification.
    pub fn of(key: &str) -> Option<Self> {
        match key {
            "ArrowLeft" => Some(Self::Left),
            "ArrowRight" => Some(Self::Right),
            "ArrowUp" => Some(Self::Up),
            "ArrowDown" => Some(Self::Down),
            _ => None,
        }
    }

    /// The next or previous tile of `count`.
    pub fn step(self, from: usize, count: usize) -> Option<usize> {
        match self {
            Self::Left | Self::Up => from.checked_sub(1),
            Self::Right | Self::Down => Some(from + 1).filter(|next| *next < count),
        }
    }
}

/// The tile to which an arrow key leads: the nearest one in that direction.
pub fn neighbour(places: &[Place], from: usize, direction: Direction) -> Option<usize> {
    /// Tolerance for rounding: adjacent tiles touch.
    const TOUCH: f64 = 1.0;
    let here = places.get(from)?;
    let across = |place: &Place| (place.left, place.left + place.size.width);
    let down = |place: &Place| (place.top, place.top + place.size.height);
    // The distance in the direction of the key, and the offset from the straight line; none in other directions.
    let distance = |place: &Place| {
        let ((start, end), (side, side_end), (here_start, here_end), (here_side, here_side_end)) = match direction {
            Direction::Left | Direction::Right => (across(place), down(place), across(here), down(here)),
            Direction::Up | Direction::Down => (down(place), across(place), down(here), across(here)),
        };
        let ahead = match direction {
            Direction::Left | Direction::Up => here_start - end,
            Direction::Right | Direction::Down => start - here_end,
        };
        let overlaps = side < here_side_end - TOUCH && side_end > here_side + TOUCH;
        (overlaps && ahead > -TOUCH).then(|| (ahead, (side + side_end - here_side - here_side_end).abs()))
    };
    let ahead = places.iter().enumerate().filter_map(|(n, place)| Some((distance(place)?, n)));
    let nearest = ahead.min_by(|(a, _), (b, _)| a.0.total_cmp(&b.0).then(a.1.total_cmp(&b.1)));
    match (nearest, direction) {
        (Some((_, n)), _) => Some(n),
        (None, Direction::Left | Direction::Right) => direction.step(from, places.len()),
        (None, Direction::Up | Direction::Down) => None,
    }
}

/// The lower end of the lowest tile, which may be below the window.
pub fn reach(places: &[Place]) -> f64 {
    places.iter().map(|place| place.top + place.size.height).fold(0.0, f64::max)
}

fn is_phone(window: Size) -> bool {
    window.width.min(window.height) <= PHONE.0 && window.width.max(window.height) <= PHONE.1
}

/// Fits all tiles into the window; on a phone, uses as many columns as leave each tile its minimum width.
fn fit(within: Place, aspects: &[f64]) -> Vec<Place> {
    let Size { width, height } = within.size;
    let places = grid(within, aspects);
    let narrow = places.iter().any(|place| place.size.width < PHONE_TILE.min(width));
    if is_phone(within.size) && narrow && aspects.len() > 1 {
        let columns = rows(within, aspects, ((width / PHONE_TILE) as usize).max(1), f64::INFINITY);
        if reach(&columns) > height {
            return columns;
        }
    }
    places
}

/// The arrangement that covers most of the window. No tile is smaller than in the best grid of equal tiles; where that leaves
/// space, some tiles are larger.
fn grid(within: Place, aspects: &[f64]) -> Vec<Place> {
    let even = even(within, aspects);
    let least = smallest(&even) * (1.0 - EQUAL);
    let as_large = |places: &Vec<Place>| smallest(places) >= least;
    let count = aspects.len();
    let height = within.size.height;
    let uneven = (2..count).map(|rows| justified(within, &split(aspects, rows), height)).filter(as_large);
    let plain = most(std::iter::once(even).chain(uneven));
    let side = (count as f64).sqrt() as usize + 1;
    let mosaics = (3..=side).flat_map(|cells| (2..cells).map(move |large| (cells, large)));
    let mosaics = mosaics.filter_map(|(cells, large)| mosaic(within, aspects, cells, large)).filter(as_large);
    dearer(within, plain, most(mosaics))
}

/// Rows of equal height, with the number of columns that covers most of the window.
fn even(within: Place, aspects: &[f64]) -> Vec<Place> {
    most((1..=aspects.len()).map(|columns| rows(within, aspects, columns, within.size.height)))
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
    let mut strip = even(main, &[first]);
    strip.extend(even(aside, others));
    // The small tiles surround the large one on two sides: 1 + 5, 1 + 7 and so on.
    let cells = (others.len() + 2) / 2;
    let aspects: Vec<_> = std::iter::once(first).chain(others.iter().copied()).collect();
    let around = if cells >= 3 { mosaic(within, &aspects, cells, cells - 1) } else { None };
    dearer(within, strip, around.unwrap_or_default())
}

/// The mosaic, if it covers enough more than the rows.
fn dearer(within: Place, plain: Vec<Place>, mosaic: Vec<Place>) -> Vec<Place> {
    let window = within.size.width * within.size.height;
    if covered(&mosaic) > covered(&plain) + MOSAIC_GAIN * window { mosaic } else { plain }
}

/// The total area of the tiles.
fn covered(places: &[Place]) -> f64 {
    places.iter().map(|place| place.size.width * place.size.height).sum()
}

/// The area of the smallest tile.
fn smallest(places: &[Place]) -> f64 {
    places.iter().map(|place| place.size.width * place.size.height).fold(f64::INFINITY, f64::min)
}

/// The candidate that covers most; of equals, the first.
fn most(candidates: impl Iterator<Item = Vec<Place>>) -> Vec<Place> {
    candidates.reduce(|best, other| if covered(&other) > covered(&best) { other } else { best }).unwrap_or_default()
}

/// A mosaic of `cells` by `cells` cells with the first tile's aspect ratio. The first tile gets `large` by `large` cells, each
/// other tile one. None if there are too few cells.
fn mosaic(within: Place, aspects: &[f64], cells: usize, large: usize) -> Option<Vec<Place>> {
    let aspect = *aspects.first()?;
    let gaps = GAP * (cells - 1) as f64;
    let Size { width, height } = within.size;
    let cell_height = ((height - gaps).min((width - gaps) / aspect) / cells as f64).max(0.0);
    let cell = Size { width: cell_height * aspect, height: cell_height };
    let span = |size: f64, count: usize| size * count as f64 + GAP * count.saturating_sub(1) as f64;
    let left = within.left + (width - span(cell.width, cells)) / 2.0;
    let top = within.top + (height - span(cell.height, cells)) / 2.0;
    let at = |row: usize, column: usize, count: usize| Place {
        left: left + (cell.width + GAP) * column as f64,
        top: top + (cell.height + GAP) * row as f64,
        size: Size { width: span(cell.width, count), height: span(cell.height, count) },
    };
    let all = (0..cells * cells).map(|n| (n / cells, n % cells));
    let small = all.filter(|&(row, column)| row >= large || column >= large).map(|(row, column)| at(row, column, 1));
    let slots = std::iter::once(at(0, 0, large)).chain(small);
    let places: Vec<_> = aspects.iter().zip(slots).map(|(&aspect, slot)| contained(slot, aspect)).collect();
    (places.len() == aspects.len()).then_some(places)
}

/// The largest centred area of this aspect ratio within another.
fn contained(slot: Place, aspect: f64) -> Place {
    let height = slot.size.height.min(slot.size.width / aspect);
    let size = Size { width: height * aspect, height };
    let middle = |slot: f64, size: f64| (slot - size) / 2.0;
    Place {
        left: slot.left + middle(slot.size.width, size.width),
        top: slot.top + middle(slot.size.height, size.height),
        size,
    }
}

/// Splits the tiles into rows of nearly equal count; the first rows have one less where they differ.
fn split(aspects: &[f64], rows: usize) -> Vec<&[f64]> {
    let count = aspects.len();
    (0..rows).map(|row| &aspects[count * row / rows..count * (row + 1) / rows]).collect()
}

/// Rows of `columns` tiles across the full width, scaled down where they exceed `height`. An incomplete last row is no higher
/// than the others.
fn rows(within: Place, aspects: &[f64], columns: usize, height: f64) -> Vec<Place> {
    let rows: Vec<_> = aspects.chunks(columns).collect();
    stack(within, &rows, Some(columns), height)
}

/// Rows that each span the full width.
fn justified(within: Place, rows: &[&[f64]], height: f64) -> Vec<Place> {
    stack(within, rows, None, height)
}

/// Stacks rows. A row with fewer than `full` tiles is no higher than the full rows.
fn stack(within: Place, rows: &[&[f64]], full: Option<usize>, height: f64) -> Vec<Place> {
    let width = within.size.width;
    // At least half of the space is for video.
    let share = |room: f64, count: usize| room / (2 * count.max(1)) as f64;
    let longest = rows.iter().map(|row| row.len()).max().unwrap_or(1);
    let gap = GAP.min(share(width, longest)).min(share(height, rows.len()));
    let natural = |row: &[f64]| (width - gap * (row.len() - 1) as f64) / row.iter().sum::<f64>();
    let is_full = |row: &&&[f64]| full.is_some_and(|full| row.len() == full);
    let limit = rows.iter().filter(is_full).map(|row| natural(row)).fold(f64::INFINITY, f64::min);
    let heights: Vec<_> = rows.iter().map(|row| natural(row).min(limit)).collect();
    let gaps = gap * heights.len().saturating_sub(1) as f64;
    let scale = ((height - gaps) / heights.iter().sum::<f64>()).min(1.0);
    let total = heights.iter().sum::<f64>() * scale + gaps;

    let mut places = Vec::new();
    let mut top = within.top + ((within.size.height - total) / 2.0).max(0.0);
    for (row, height) in rows.iter().zip(heights) {
        let height = height * scale;
        let used = row.iter().sum::<f64>() * height + gap * (row.len() - 1) as f64;
        let mut left = within.left + (width - used) / 2.0;
        for aspect in *row {
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
    const WINDOW: Size = Size { width: 1280.0, height: 720.0 };

    fn right(place: &Place) -> f64 {
        place.left + place.size.width
    }

    fn bottom(place: &Place) -> f64 {
        place.top + place.size.height
    }

    /// The number of tiles in the first row.
    fn columns(places: &[Place]) -> usize {
        places.iter().filter(|place| (place.top - places[0].top).abs() < 0.01).count()
    }

    #[test]
    fn one_tile_fills_the_window_and_four_share_it() {
        let [one] = place(WINDOW, &[WIDE], Layout::Grid)[..] else { panic!() };
        assert!((one.size.width - 1280.0).abs() < 0.01 && one.left.abs() < 0.01, "{one:?}");
        let four = place(WINDOW, &[WIDE; 4], Layout::Grid);
        assert_eq!(columns(&four), 2);
        assert!(four[0].size.width > 620.0, "{four:?}");
    }

    #[test]
    fn column_count_follows_the_window() {
        let columns = |width, height, count| columns(&place(Size { width, height }, &vec![WIDE; count], Layout::Grid));
        assert_eq!([1, 2, 3, 4, 5, 9, 16, 25].map(|count| columns(1920.0, 1080.0, count)), [1, 2, 2, 2, 2, 3, 4, 5]);
        assert_eq!([1, 2, 5, 9, 25].map(|count| columns(390.0, 844.0, count)), [1; 5], "a phone");
        assert_eq!([1, 2, 4, 9, 25].map(|count| columns(844.0, 390.0, count)), [1, 2, 2, 2, 2], "on its side");
        assert_eq!(columns(3840.0, 400.0, 4), 4, "a strip of screens");
    }

    /// The share of a window that tiles of one aspect ratio cover.
    fn share(window: Size, count: usize, layout: Layout) -> f64 {
        covered(&place(window, &vec![WIDE; count], layout)) / (window.width * window.height)
    }

    #[test]
    fn tiles_fill_the_window() {
        let wall = Size { width: 1920.0, height: 1080.0 };
        for (count, least) in [(1, 0.999), (2, 0.49), (3, 0.74), (4, 0.99), (5, 0.82), (6, 0.99), (7, 0.77), (8, 0.88)]
        {
            assert!(share(wall, count, Layout::Grid) > least, "{count}: {}", share(wall, count, Layout::Grid));
        }
        for count in 9..=25 {
            assert!(share(wall, count, Layout::Grid) > 0.79, "{count}: {}", share(wall, count, Layout::Grid));
        }
    }

    #[test]
    fn five_tiles_take_two_rows_and_six_surround_a_large_one() {
        let wall = Size { width: 1920.0, height: 1080.0 };
        let five = place(wall, &[WIDE; 5], Layout::Grid);
        assert_eq!(columns(&five), 2);
        assert!(five[0].size.width > 950.0 && five[4].size.width > 630.0, "{five:?}");
        let six = place(wall, &[WIDE; 6], Layout::Grid);
        assert!(six[0].size.width > 1270.0 && six[1..].iter().all(|place| place.size.width > 630.0), "{six:?}");
        assert!(six[1].left > right(&six[0]) && six[5].top > bottom(&six[0]), "{six:?}");
    }

    #[test]
    fn focus_layout_uses_two_sides_where_that_covers_more() {
        let wall = Size { width: 1920.0, height: 1080.0 };
        for (count, first) in [(6, 2.0 / 3.0), (8, 3.0 / 4.0), (10, 4.0 / 5.0)] {
            let places = place(wall, &vec![WIDE; count], Layout::Focus);
            assert!((places[0].size.width / wall.width - first).abs() < 0.01, "{count}: {places:?}");
            assert!(share(wall, count, Layout::Focus) > 0.98, "{count}");
        }
    }

    #[test]
    fn arrow_keys_move_to_the_nearest_tile() {
        use Direction::{Down, Left, Right, Up};
        let wall = Size { width: 1920.0, height: 1080.0 };
        let lead = |count, from, direction| neighbour(&place(wall, &vec![WIDE; count], Layout::Grid), from, direction);
        assert_eq!([Right, Down, Left, Up].map(|to| lead(9, 4, to)), [Some(5), Some(7), Some(3), Some(1)]);
        assert_eq!([lead(9, 2, Right), lead(9, 3, Left)], [Some(3), Some(2)], "over the edge in order");
        assert_eq!([lead(9, 0, Left), lead(9, 8, Right), lead(9, 7, Down), lead(9, 1, Up)], [None; 4]);
        assert_eq!(
            [lead(6, 0, Down), lead(6, 2, Left), lead(6, 4, Up)],
            [Some(3), Some(0), Some(0)],
            "around a large one"
        );
        assert_eq!([lead(5, 0, Down), lead(5, 4, Up)], [Some(2), Some(1)]);
        assert_eq!(neighbour(&[], 0, Left), None);
    }

    #[test]
    fn phone_scrolls_where_tiles_would_be_too_small() {
        let places = |width, height, count| place(Size { width, height }, &vec![WIDE; count], Layout::Grid);
        assert!(reach(&places(390.0, 844.0, 3)) <= 844.0, "three fit");
        let nine = places(390.0, 844.0, 9);
        assert!(nine.iter().all(|place| place.size.width == 390.0) && reach(&nine) > 844.0, "{nine:?}");
        assert!(reach(&places(1280.0, 720.0, 64)) <= 720.0, "not on a desk");
        let zoomed = places(350.0, 225.0, 16);
        assert!(zoomed.iter().all(|place| place.size.width == 350.0), "1400x900 at 400 %: {zoomed:?}");
    }

    #[test]
    fn tiles_of_different_aspects_share_a_row_at_one_height() {
        let strip = Size { height: 380.0, ..WINDOW };
        let places = place(strip, &[WIDE, 9.0 / 16.0, 4.0 / 3.0], Layout::Grid);
        assert_eq!(columns(&places), 3);
        assert!(places.iter().all(|place| (place.size.height - places[0].size.height).abs() < 0.01));
        assert!((right(&places[2]) - 1280.0).abs() < 0.01, "{places:?}");
    }

    #[test]
    fn focus_layout_enlarges_the_first_tile_and_fills_the_window_with_one() {
        let places = place(WINDOW, &[WIDE; 5], Layout::Focus);
        assert!(places[0].size.width > 2.5 * places[1].size.width, "{places:?}");
        assert!(places[1..].iter().all(|place| place.left > right(&places[0])));
        let upright = place(Size { width: 720.0, height: 1280.0 }, &[WIDE; 5], Layout::Focus);
        assert!(upright[1..].iter().all(|place| place.top > bottom(&upright[0])));
        assert_eq!(place(WINDOW, &[WIDE], Layout::Focus), place(WINDOW, &[WIDE], Layout::Grid));
    }

    #[test]
    fn columns_fill_the_width_and_overflow_below() {
        let places = place(WINDOW, &[WIDE; 5], Layout::Columns(2));
        assert_eq!(columns(&places), 2);
        assert!(bottom(&places[4]) > WINDOW.height);
        assert!((places[4].size.width - places[0].size.width).abs() < 0.01, "the last is no larger");
        assert_eq!(place(WINDOW, &[WIDE], Layout::Columns(3)).len(), 1);
    }

    #[test]
    fn many_portrait_tiles_keep_room_beside_the_large_one() {
        let window = Size { width: 497.0, height: 200.0 };
        let places = place(window, &[0.4; 22], Layout::Focus);
        assert!(places.iter().all(|place| place.size.width > 1.0 && right(place) < window.width), "{places:?}");
    }

    #[test]
    fn no_tiles_or_no_room_gives_an_empty_layout() {
        assert!(place(WINDOW, &[], Layout::Grid).is_empty());
        assert_eq!(place(Size::default(), &[WIDE; 2], Layout::Focus).len(), 2);
    }

    proptest! {
        #[test]
        fn tiles_keep_their_aspect_without_overlap_or_overflow(
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
                prop_assert!(tile.left > -0.01 && tile.top > -0.01);
                prop_assert!(right(tile) <= width + 0.01);
                let scrolls = !focus && is_phone(Size { width, height });
                prop_assert!(bottom(tile) <= height + 0.01 || scrolls);
                for other in &places[..n] {
                    let apart = right(other) <= tile.left + 0.01 || right(tile) <= other.left + 0.01
                        || bottom(other) <= tile.top + 0.01 || bottom(tile) <= other.top + 0.01;
                    prop_assert!(apart, "{:?} {:?}", tile, other);
                }
            }
        }
    }
}
