//! The horizontal filter arranged for vectors: output samples in groups whose source samples fit one load.
//!
//! Gathering samples costs a load for each output sample. Neighbours among the outputs read neighbours among the sources, so
//! that a window of 8 sources, shuffled by a table, holds what two outputs of 4 taps need, or four of 2.

use super::axis::Axis;

/// Source samples of a window: 16 bytes, a lane of a vector.
pub(super) const WINDOW: usize = 8;
/// Output samples that are made at a time.
pub(super) const BLOCK: usize = 8;

/// Windows of an axis of at most 4 taps; blocks are filled up with weights of 0.
#[derive(Debug)]
pub(super) struct Windows {
    taps: usize,
    /// The first source sample of each; in a block they stand as pairs of lanes are loaded: see [`LANES`].
    firsts: Vec<u32>,
    /// Which byte of the window goes where.
    picks: Vec<[u8; 2 * WINDOW]>,
    weights: Vec<[i16; WINDOW]>,
}

/// Adding neighbours within lanes leaves sums of the windows 0 and 1 in the lower lane when they come from the lower lanes of
/// two vectors.
const LANES: [usize; 4] = [0, 2, 1, 3];

impl Windows {
    /// None where an output sample has more than 4 taps.
    pub(super) fn of(axis: &Axis) -> Option<Windows> {
        let outputs = axis.firsts().len();
        let taps = most_taps(axis, 4)?;
        let order = if taps == 2 { &[0, 1][..] } else { &LANES[..] };
        let mut windows = Windows { taps, firsts: Vec::new(), picks: Vec::new(), weights: Vec::new() };
        for block in (0..outputs).step_by(BLOCK) {
            order.iter().for_each(|lane| windows.push(axis, block + lane * (WINDOW / taps)));
        }
        Some(windows)
    }

    /// The window of the output samples from `output` on.
    fn push(&mut self, axis: &Axis, output: usize) {
        let mut picks = [0; 2 * WINDOW];
        let mut weights = [0; WINDOW];
        let window = axis.firsts().get(output).copied().unwrap_or(0);
        for i in (0..WINDOW / self.taps).take_while(|i| output + i < axis.firsts().len()) {
            let (first, taps) = axis.taps_of(output + i);
            for (tap, &weight) in taps.iter().enumerate() {
                // Filters overlap or touch, so that this many of so few taps are never further apart.
                let source = first + tap - window as usize;
                assert!(source < WINDOW, "{first} and {window} do not fit a window");
                let place = i * self.taps + tap;
                weights[place] = weight as i16;
                picks[2 * place] = 2 * source as u8;
                picks[2 * place + 1] = 2 * source as u8 + 1;
            }
        }
        self.firsts.push(window);
        self.picks.push(picks);
        self.weights.push(weights);
    }

    /// 2 or 4 for each output sample.
    pub(super) fn taps(&self) -> usize {
        self.taps
    }

    /// The length that a row needs so that every window is inside.
    pub(super) fn reach(&self) -> usize {
        self.firsts.iter().max().map_or(0, |&first| first as usize + WINDOW)
    }

    /// As many as [`Windows::picks`] and [`Windows::weights`].
    pub(super) fn firsts(&self) -> &[u32] {
        &self.firsts
    }

    pub(super) fn picks(&self) -> &[[u8; 2 * WINDOW]] {
        &self.picks
    }

    pub(super) fn weights(&self) -> &[[i16; WINDOW]] {
        &self.weights
    }
}

/// The same for vectors that shuffle 64 source samples at once: a window for 16 output samples.
#[derive(Debug)]
pub(super) struct WideWindows {
    taps: usize,
    /// The first source sample of each window.
    firsts: Vec<u32>,
    /// Taps 0 and 1 of the 16, then taps 2 and 3 where there are so many, and 4 and 5: which sample of the window, and its weight.
    picks: Vec<[u16; WIDE_PRODUCTS]>,
    weights: Vec<[i16; WIDE_PRODUCTS]>,
}

/// Source samples of a wide window.
pub(super) const WIDE_WINDOW: usize = 64;
/// Output samples that are made of it.
pub(super) const WIDE_BLOCK: usize = 16;
/// Two taps of each.
const WIDE_PRODUCTS: usize = 2 * WIDE_BLOCK;

impl WideWindows {
    /// None where an output sample has more than 6 taps, or 16 of them together reach too far.
    pub(super) fn of(axis: &Axis) -> Option<WideWindows> {
        let taps = most_taps(axis, 6)?;
        let fits = |block: usize| {
            let last = (block + WIDE_BLOCK).min(axis.firsts().len()) - 1;
            let (first, weights) = axis.taps_of(last);
            first + weights.len() - axis.firsts()[block] as usize <= WIDE_WINDOW
        };
        if !(0..axis.firsts().len()).step_by(WIDE_BLOCK).all(fits) {
            return None;
        }
        let mut windows = WideWindows { taps, firsts: Vec::new(), picks: Vec::new(), weights: Vec::new() };
        for block in (0..axis.firsts().len()).step_by(WIDE_BLOCK) {
            windows.push(axis, block);
        }
        Some(windows)
    }

    fn push(&mut self, axis: &Axis, block: usize) {
        let window = axis.firsts()[block] as usize;
        let begin = self.picks.len();
        self.picks.resize(begin + self.taps / 2, [0; WIDE_PRODUCTS]);
        self.weights.resize(begin + self.taps / 2, [0; WIDE_PRODUCTS]);
        for i in (0..WIDE_BLOCK).take_while(|i| block + i < axis.firsts().len()) {
            let (first, taps) = axis.taps_of(block + i);
            for (tap, &weight) in taps.iter().enumerate() {
                self.picks[begin + tap / 2][2 * i + tap % 2] = (first + tap - window) as u16;
                self.weights[begin + tap / 2][2 * i + tap % 2] = weight as i16;
            }
        }
        self.firsts.push(window as u32);
    }

    /// 2, 4 or 6 for each output sample.
    pub(super) fn taps(&self) -> usize {
        self.taps
    }

    /// The length that a row needs so that every window is inside.
    pub(super) fn reach(&self) -> usize {
        self.firsts.iter().max().map_or(0, |&first| first as usize + WIDE_WINDOW)
    }

    /// One for each block of output samples.
    pub(super) fn firsts(&self) -> &[u32] {
        &self.firsts
    }

    /// Half as many for each block as there are taps.
    pub(super) fn picks(&self) -> &[[u16; WIDE_PRODUCTS]] {
        &self.picks
    }

    pub(super) fn weights(&self) -> &[[i16; WIDE_PRODUCTS]] {
        &self.weights
    }
}

/// The taps of the output sample that has the most, to an even number; none where they are more than `most`.
fn most_taps(axis: &Axis, most: usize) -> Option<usize> {
    let counts = (0..axis.firsts().len()).map(|i| axis.taps_of(i).1.len());
    counts.max().map(|count| count.next_multiple_of(2)).filter(|&count| count <= most)
}
