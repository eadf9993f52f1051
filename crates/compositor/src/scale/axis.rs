//! The filter of one axis: which source samples count for each output sample, and how much.

/// Taps and weights for every output sample along one axis. The weights of one sample add up to the unit exactly.
#[derive(Debug)]
pub(crate) struct Axis {
    taps: usize,
    firsts: Vec<u32>,
    counts: Vec<u32>,
    /// `taps` of them for each output sample; those after its count are 0.
    weights: Vec<u16>,
    reach: usize,
}

impl Axis {
    /// From `source` to `output` samples, weights adding up to `unit` (at most 2^14), padded with zeros to a multiple
    /// of `multiple` taps, or of 8 where that is more than 4.
    pub(super) fn new(source: u32, output: u32, unit: u32, multiple: usize) -> Axis {
        let samples: Vec<(u32, Vec<u16>)> = (0..output)
            .map(|i| {
                if source > output { area(i, source, output, unit) } else { linear(i, source, output, unit) }
            })
            .collect();
        let most = samples.iter().map(|(_, weights)| weights.len()).max().unwrap_or(1);
        let taps = if multiple > 1 && most > multiple {
            most.next_multiple_of(8)
        } else {
            most.next_multiple_of(multiple)
        };
        let mut axis = Axis { taps, firsts: Vec::new(), counts: Vec::new(), weights: Vec::new(), reach: 0 };
        for (first, weights) in samples {
            axis.firsts.push(first);
            axis.counts.push(weights.len() as u32);
            axis.weights.extend(&weights);
            axis.weights.resize(axis.firsts.len() * taps, 0);
            axis.reach = axis.reach.max(first as usize + taps);
        }
        axis
    }

    /// Taps a sample, padding included.
    pub(super) fn taps(&self) -> usize {
        self.taps
    }

    /// The first source sample of output sample `i`, and a weight for it and each that follows it.
    pub(super) fn taps_of(&self, i: usize) -> (usize, &[u16]) {
        let begin = i * self.taps;
        (self.firsts[i] as usize, &self.weights[begin..begin + self.counts[i] as usize])
    }

    /// The first output sample in which any of the source samples `from` to `to` has a part, and the one after the last.
    pub(crate) fn touched(&self, from: u32, to: u32) -> (u32, u32) {
        let reaches = |&i: &usize| self.firsts[i] < to && self.firsts[i] + self.counts[i] > from;
        let first = (0..self.firsts.len()).find(reaches).unwrap_or(0);
        let last = (0..self.firsts.len()).rfind(reaches).map_or(first, |last| last + 1);
        (first as u32, last as u32)
    }

    /// The length that a row needs so that every tap, padding included, is inside.
    pub(super) fn reach(&self) -> usize {
        self.reach
    }

    /// The first source sample of every output sample.
    pub(super) fn firsts(&self) -> &[u32] {
        &self.firsts
    }

    /// All weights, [`Axis::taps`] for each output sample.
    pub(super) fn weights(&self) -> &[u16] {
        &self.weights
    }
}

/// Every source sample counts by how much of it lies within the output sample.
fn area(i: u32, source: u32, output: u32, unit: u32) -> (u32, Vec<u16>) {
    // In units of 1/output of a source sample, an output sample is `source` long.
    let (source, output, unit) = (u64::from(source), u64::from(output), u64::from(unit));
    let (begin, end) = (u64::from(i) * source, (u64::from(i) + 1) * source);
    let (first, last) = (begin / output, (end - 1) / output);
    // Rounding what has been covered so far, instead of each weight, makes them add up to the unit.
    let covered = |upto: u64| ((upto - begin) * unit + source / 2) / source;
    let weights = (first..=last).map(|j| {
        let (from, to) = ((j * output).max(begin), ((j + 1) * output).min(end));
        (covered(to) - covered(from)) as u16
    });
    (first as u32, weights.collect())
}

/// The two source samples whose centres are nearest, by their distance; one at the edges.
fn linear(i: u32, source: u32, output: u32, unit: u32) -> (u32, Vec<u16>) {
    // The output sample's centre, in units of 1/(2 * output) of a source sample, from the first source sample's centre.
    let (length, unit) = (2 * i64::from(output), i64::from(unit));
    let position = ((2 * i64::from(i) + 1) * i64::from(source) - i64::from(output)).max(0);
    let first = (position / length).min(i64::from(source) - 1);
    let far = ((position - first * length) * unit + length / 2) / length;
    if far == 0 || first + 1 == i64::from(source) {
        (first as u32, vec![unit as u16])
    } else {
        (first as u32, vec![(unit - far) as u16, far as u16])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_add_up_and_stay_inside_at_every_ratio() {
        for (source, output) in
            (1..=70).flat_map(|s| (1..=70).map(move |o| (s, o))).chain([(3840, 2), (2, 3840)])
        {
            for (unit, multiple) in [(256, 1), (16_384, 4)] {
                let axis = Axis::new(source, output, unit, multiple);
                assert!(axis.taps().is_multiple_of(multiple));
                for i in 0..output as usize {
                    let (first, weights) = axis.taps_of(i);
                    let sum: u32 = weights.iter().map(|&w| u32::from(w)).sum();
                    assert_eq!(sum, unit, "{source} to {output}, sample {i}");
                    assert!(first + weights.len() <= source as usize, "{source} to {output}, sample {i}");
                }
            }
        }
    }

    #[test]
    fn shrinking_weighs_by_area_and_growing_by_distance() {
        let taps = |source, output, i| {
            let axis = Axis::new(source, output, 256, 1);
            let (first, weights) = axis.taps_of(i);
            (first, weights.to_vec())
        };
        assert_eq!(taps(8, 2, 1), (4, vec![64; 4]));
        assert_eq!(taps(3, 2, 0), (0, vec![171, 85]));
        assert_eq!(taps(3, 2, 1), (1, vec![85, 171]));
        assert_eq!(taps(4, 8, 0), (0, vec![256]));
        assert_eq!(taps(4, 8, 1), (0, vec![192, 64]));
        assert_eq!(taps(4, 8, 2), (0, vec![64, 192]));
        assert_eq!(taps(4, 8, 7), (3, vec![256]));
    }
}
