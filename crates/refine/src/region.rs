//! Regions of a picture that may be refined: which of them, and in which order.

use crate::Rect;

/// Kinds of regions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// A face.
    Face,
    /// A hand.
    Hand,
    /// Any other region that was marked.
    Other,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Face, Self::Hand, Self::Other];

    /// Its name in files and on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Face => "face",
            Self::Hand => "hand",
            Self::Other => "other",
        }
    }

    /// The context that a model is shown, in lengths of a region's longer side: a hand's place is understood
    /// from its arm, a face from the head.
    pub fn context(self) -> f64 {
        match self {
            Self::Hand => 2.5,
            Self::Face | Self::Other => 2.0,
        }
    }

    /// Share of the picture's area above which a region is left as it is, unless a filter says otherwise:
    /// models draw large faces well (an eighth in the paper's refiner).
    pub fn max_share(self) -> f64 {
        match self {
            Self::Face => 0.125,
            Self::Hand | Self::Other => 1.0,
        }
    }
}

/// A region.
#[derive(Debug, Clone, PartialEq)]
pub struct Region {
    /// Its kind.
    pub kind: Kind,
    /// Bounding box; may leave the picture.
    pub bounds: Rect,
    /// Landmarks (x, y); empty where the detector gives none.
    pub points: Vec<[f64; 2]>,
    /// The detector's confidence, from 0 to 1; none for a region that a person marked.
    pub score: Option<f64>,
}

impl Region {
    /// The box with `times` its longer side in the longer direction, and as much more in the other one.
    pub fn context(&self, times: f64) -> Rect {
        self.bounds.expanded((times - 1.0) / 2.0 * self.bounds.longer())
    }

    /// Share of a picture's area.
    pub fn share(&self, picture: (u32, u32)) -> f64 {
        self.bounds.intersection(&Rect::whole(picture)).area() / Rect::whole(picture).area()
    }
}

/// Orders of regions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Order {
    /// From left to right, by their centres.
    #[default]
    Left,
    /// The largest first.
    Area,
    /// The most certain first.
    Score,
}

/// Which regions are refined.
#[derive(Debug, Clone, PartialEq)]
pub struct Filter {
    /// Least score; regions without one pass.
    pub min_score: f64,
    /// Kinds.
    pub kinds: Vec<Kind>,
    /// The most in a picture, the largest being kept; 0 for all.
    pub max_regions: usize,
    /// Least share of the picture's area.
    pub min_share: f64,
    /// Most; none for [`Kind::max_share`].
    pub max_share: Option<f64>,
    /// Least length of the longer side in pixels.
    pub min_side: f64,
    /// Their order.
    pub order: Order,
}

impl Default for Filter {
    fn default() -> Self {
        Self {
            min_score: 0.5,
            kinds: Kind::ALL.to_vec(),
            max_regions: 0,
            min_share: 0.0,
            max_share: None,
            min_side: 10.0,
            order: Order::Left,
        }
    }
}

impl Filter {
    /// The regions of a picture (width, height) that pass, in order; ties by place, so that the order of
    /// detection does not matter.
    pub fn select(&self, regions: &[Region], picture: (u32, u32)) -> Vec<Region> {
        let passes = |region: &&Region| {
            let share = region.share(picture);
            let inside = region.bounds.intersection(&Rect::whole(picture));
            self.kinds.contains(&region.kind)
                && region.score.is_none_or(|score| score >= self.min_score)
                && share >= self.min_share
                && share <= self.max_share.unwrap_or(region.kind.max_share())
                && inside.longer() >= self.min_side
                && inside.area() > 0.0
        };
        let mut chosen: Vec<Region> = regions.iter().filter(passes).cloned().collect();
        if self.max_regions > 0 && chosen.len() > self.max_regions {
            sort(&mut chosen, Order::Area);
            chosen.truncate(self.max_regions);
        }
        sort(&mut chosen, self.order);
        chosen
    }
}

fn sort(regions: &mut [Region], order: Order) {
    let place = |r: &Region| [r.bounds.center(), [r.bounds.x0, r.bounds.y0]].concat();
    let score = |r: &Region| r.score.unwrap_or(1.0);
    regions.sort_by(|a, b| {
        let first = match order {
            Order::Left => std::cmp::Ordering::Equal,
            Order::Area => b.bounds.area().total_cmp(&a.bounds.area()),
            Order::Score => score(b).total_cmp(&score(a)),
        };
        let places = place(a).into_iter().zip(place(b)).map(|(a, b)| a.total_cmp(&b));
        places.fold(first, std::cmp::Ordering::then).then(a.kind.cmp(&b.kind))
    });
}
