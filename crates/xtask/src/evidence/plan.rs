//! The plan of the evidence as a table: worlds of drawn people, arms (one weighting each), and seeds.

/// People to fine-tune on, and to be judged by.
pub(super) struct World {
    /// Its name in tables.
    pub name: &'static str,
    /// The people, in words.
    pub about: &'static str,
    /// Arguments of `fairhuman people`.
    pub people: &'static str,
    /// The arms that are run in it.
    pub arms: Arms,
}

/// The arms of a world.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Arms {
    /// Those of `--quick`.
    Few,
    /// Those that the claim is about: static weights, alphas, and what stands for them.
    Claim,
    /// All: the baselines of the field, too.
    All,
}

/// A weighting under test.
pub(super) struct Arm {
    /// Its name in tables and folders.
    pub name: &'static str,
    /// Where its weights come from.
    pub weighting: Weighting,
    /// The worlds that have it: those with at least as many arms.
    pub from: Arms,
    /// True for weights that never change, of which the front of static weightings is made.
    pub front: bool,
    /// Learning rate, as a multiple of that of the plan.
    pub rate: f64,
}

/// The `weighting` of a recipe.
#[derive(Debug, Clone, Copy)]
pub(super) enum Weighting {
    /// As written.
    As(&'static str),
    /// Fixed: the mean weights of the run of the arm [`REFERENCE`] with the same seed.
    Twin,
    /// The weights of that run in a random order.
    Shuffled,
}

/// The arm that others are compared with: the paper's weights.
pub(super) const REFERENCE: &str = "mpd";

/// The worlds. The base model has learnt people of the first kind.
pub(super) const WORLDS: [World; 6] = [
    World {
        name: "near",
        about: "one person, mostly from near",
        people: "--figures 1 --near 80 --seed 20",
        arms: Arms::All,
    },
    World {
        name: "crowd",
        about: "up to three people, far away",
        people: "--figures 3 --near 0 --seed 31",
        arms: Arms::All,
    },
    World {
        name: "ink",
        about: "one person, mostly from near, in another style",
        people: "--figures 1 --near 80 --seed 71 --style ink",
        arms: Arms::All,
    },
    World {
        name: "pairs",
        about: "up to two people, half of the pictures from near",
        people: "--figures 2 --near 50 --seed 43",
        arms: Arms::Claim,
    },
    World {
        name: "far",
        about: "one person, far away",
        people: "--figures 1 --near 0 --seed 57",
        arms: Arms::Claim,
    },
    World {
        name: "group",
        about: "up to three people, from near",
        people: "--figures 3 --near 100 --seed 61",
        arms: Arms::Claim,
    },
];

const fn arm(name: &'static str, weighting: &'static str, from: Arms) -> Arm {
    Arm { name, weighting: Weighting::As(weighting), from, front: false, rate: 1.0 }
}

const fn fixed(name: &'static str, weighting: &'static str, from: Arms) -> Arm {
    Arm { name, weighting: Weighting::As(weighting), from, front: true, rate: 1.0 }
}

/// An arm at another learning rate.
const fn at_rate(name: &'static str, weighting: &'static str, rate: f64) -> Arm {
    Arm { name, weighting: Weighting::As(weighting), from: Arms::Claim, front: false, rate }
}

/// The arms; those that read another's run come after it.
pub(super) const ARMS: [Arm; 37] = [
    fixed("plain", "{ kind = \"fixed\", weights = [1, 0, 0] }", Arms::Few),
    fixed("f .03", "{ kind = \"fixed\", weights = [1, 0.03, 0.03] }", Arms::Claim),
    fixed("f .1", "{ kind = \"fixed\", weights = [1, 0.1, 0.1] }", Arms::Few),
    fixed("f .3", "{ kind = \"fixed\", weights = [1, 0.3, 0.3] }", Arms::Claim),
    fixed("sum", "{ kind = \"linear\" }", Arms::Few),
    arm(REFERENCE, "{ kind = \"alpha-fair\", alpha = 2 }", Arms::Few),
    Arm { name: "static twin", weighting: Weighting::Twin, from: Arms::Few, front: false, rate: 1.0 },
    Arm { name: "shuffled", weighting: Weighting::Shuffled, from: Arms::Few, front: false, rate: 1.0 },
    arm("every 10", "{ kind = \"alpha-fair\", alpha = 2, every = 10 }", Arms::Few),
    at_rate("plain, rate / 2", "{ kind = \"fixed\", weights = [1, 0, 0] }", 0.5),
    at_rate("plain, rate x 2", "{ kind = \"fixed\", weights = [1, 0, 0] }", 2.0),
    at_rate("sum, rate / 2", "{ kind = \"linear\" }", 0.5),
    at_rate("sum, rate x 2", "{ kind = \"linear\" }", 2.0),
    at_rate("mpd, rate / 2", "{ kind = \"alpha-fair\", alpha = 2 }", 0.5),
    at_rate("mpd, rate x 2", "{ kind = \"alpha-fair\", alpha = 2 }", 2.0),
    arm("average 10", "{ kind = \"alpha-fair\", alpha = 2, average = 10 }", Arms::Claim),
    arm("alpha .5", "{ kind = \"alpha-fair\", alpha = 0.5 }", Arms::Claim),
    arm("alpha 1", "{ kind = \"nash\" }", Arms::Claim),
    arm("alpha 5", "{ kind = \"alpha-fair\", alpha = 5 }", Arms::Claim),
    arm("alpha inf", "{ kind = \"alpha-fair\", alpha = inf }", Arms::Claim),
    arm("unit mpd", "{ kind = \"alpha-fair\", alpha = 2, normalise = \"gradient\" }", Arms::Claim),
    arm(
        "unit, hand x 8",
        "{ kind = \"alpha-fair\", normalise = \"gradient\", priority = { hand = 8 } }",
        Arms::All,
    ),
    arm("mgda", "{ kind = \"mgda\" }", Arms::All),
    arm("imtl-g", "{ kind = \"imtl-g\" }", Arms::All),
    arm("cagrad", "{ kind = \"cagrad\", c = 0.5 }", Arms::All),
    arm("pcgrad", "{ kind = \"pcgrad\" }", Arms::All),
    arm("aligned-mtl", "{ kind = \"aligned-mtl\" }", Arms::All),
    arm("upgrad", "{ kind = \"upgrad\" }", Arms::All),
    arm("graddrop", "{ kind = \"graddrop\" }", Arms::All),
    arm("db-mtl", "{ kind = \"db-mtl\" }", Arms::All),
    arm("gradnorm", "{ kind = \"gradnorm\" }", Arms::All),
    arm("log", "{ kind = \"log\" }", Arms::All),
    arm("uncertainty", "{ kind = \"uncertainty\" }", Arms::All),
    arm("dwa", "{ kind = \"dwa\", window = 20 }", Arms::All),
    arm("stch", "{ kind = \"stch\" }", Arms::All),
    arm("famo", "{ kind = \"famo\" }", Arms::All),
    arm("rlw", "{ kind = \"rlw\" }", Arms::All),
];

/// The size of it all.
#[derive(Debug, Clone, Copy)]
pub(super) struct Size {
    /// Worlds, from the beginning of the table.
    pub worlds: usize,
    /// At most so many arms in a world.
    pub arms: Arms,
    /// Seeds 1, 2, ... of each arm.
    pub seeds: u64,
    /// Pictures that are trained on.
    pub pictures: usize,
    /// Pictures that are held out: the same for all seeds.
    pub held_out: usize,
    /// Time steps and noises of each held-out picture.
    pub draws: usize,
    /// Held-out pictures that get noise and are denoised again.
    pub denoised: usize,
    /// Steps of training.
    pub steps: u64,
    /// Bootstrap samples.
    pub resamples: usize,
}

/// Hours.
pub(super) const WHOLE: Size = Size {
    worlds: WORLDS.len(),
    arms: Arms::All,
    seeds: 5,
    pictures: 192,
    held_out: 200,
    draws: 8,
    denoised: 48,
    steps: 160,
    resamples: 4000,
};

/// Minutes: to see that all works. Its numbers say nothing.
pub(super) const QUICK: Size = Size {
    worlds: 2,
    arms: Arms::Few,
    seeds: 2,
    pictures: 16,
    held_out: 8,
    draws: 2,
    denoised: 4,
    steps: 8,
    resamples: 400,
};

impl Size {
    /// The worlds of this size.
    pub fn worlds(&self) -> &'static [World] {
        &WORLDS[..self.worlds]
    }

    /// The arms of a world.
    pub fn arms(&self, world: &World) -> impl Iterator<Item = &'static Arm> + use<> {
        let most = self.arms.min(world.arms);
        ARMS.iter().filter(move |arm| arm.from <= most)
    }
}
