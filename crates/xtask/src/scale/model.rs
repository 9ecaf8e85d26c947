//! A model of a step's time on many cards: the computation as on one, and the exchanges by latency and
//! bandwidth (alpha and beta). Nothing of it is measured.

/// Objectives.
pub(super) const K: f64 = 3.0;
/// Cards of a machine, which NVLink joins.
pub(super) const MACHINE: f64 = 8.0;
/// Numbers of cards.
pub(super) const CARDS: [u32; 10] = [8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096];
/// Share of a step that is the backward pass, during which sums can be made.
pub(super) const BACKWARD: f64 = 0.75;
/// Bytes of gradients that are summed in one exchange, as training cuts them (`train/src/group/shards.rs`).
pub(super) const BUCKET: f64 = 16.0 * 1024.0 * 1024.0;
/// Exchanges of a few numbers in a step: counts, losses, the Gram matrix, the norm, requests.
pub(super) const NUMBERS: f64 = 5.0;

/// A training.
#[derive(Debug, Clone, Copy)]
pub(super) struct Work {
    pub name: &'static str,
    /// Trained parameters.
    pub parameters: f64,
    /// Seconds of a step on one card.
    pub seconds: f64,
}

/// SDXL at 1024 x 1024, batch 1 a card, three objectives, on an H200: seconds are estimates from counted
/// operations, too.
pub(super) const WORKS: [Work; 3] = [
    Work { name: "LoRA, rank 16", parameters: 23.2e6, seconds: 0.11 },
    Work { name: "LoRA, rank 256", parameters: 372e6, seconds: 0.13 },
    Work { name: "all parameters", parameters: 2567e6, seconds: 0.2 },
];

/// Seconds until a message has arrived, and bytes in a second.
#[derive(Debug, Clone, Copy)]
pub(super) struct Link {
    pub latency: f64,
    pub bandwidth: f64,
}

/// NVLink of an H200 in one direction.
pub(super) const NVLINK: Link = Link { latency: 3e-6, bandwidth: 450e9 };
/// A port of 100 Gb/s, one for each machine.
pub(super) const ETHERNET: Link = Link { latency: 10e-6, bandwidth: 12.5e9 };

/// The network between the machines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Network {
    /// Machines of eight cards, joined by one port each.
    Ethernet,
    /// All cards joined by NVLink.
    NvLink,
}

/// The order in which ranks pass parts on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Algorithm {
    /// Each to the next: N - 1 rounds.
    Ring,
    /// Halving and doubling: log2 N rounds, the same bytes.
    Tree,
}

/// Sums and shares of gradients.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// Sums at the owner of each parameter, its new value to all.
    Sharded,
    /// Sums of all gradients everywhere.
    AllReduce,
}

/// Seconds of all rounds' latency in one pass over all ranks.
fn rounds(network: Network, algorithm: Algorithm, cards: f64) -> f64 {
    let count = |ranks: f64| match algorithm {
        Algorithm::Ring => ranks - 1.0,
        Algorithm::Tree => ranks.log2(),
    };
    if network == Network::NvLink || cards <= MACHINE {
        return count(cards) * NVLINK.latency;
    }
    let machines = cards / MACHINE;
    match algorithm {
        // The ring passes every card, and leaves every machine once.
        Algorithm::Ring => (cards - machines) * NVLINK.latency + machines * ETHERNET.latency,
        Algorithm::Tree => count(MACHINE) * NVLINK.latency + count(machines) * ETHERNET.latency,
    }
}

/// Bytes in a second of the narrowest link.
fn bandwidth(network: Network, cards: f64) -> f64 {
    match network {
        Network::Ethernet if cards > MACHINE => ETHERNET.bandwidth,
        _ => NVLINK.bandwidth,
    }
}

/// Bytes that each rank sends in a step, of sums and of shares.
pub(super) fn bytes(work: &Work, form: Form, cards: f64) -> (f64, f64) {
    let once = 4.0 * work.parameters * (cards - 1.0) / cards;
    match form {
        Form::Sharded => (K * once, once),
        Form::AllReduce => (2.0 * K * once, 0.0),
    }
}

/// Exchanges that a step's sums are cut into.
fn buckets(work: &Work) -> f64 {
    (4.0 * K * work.parameters / BUCKET).ceil()
}

/// Seconds of a step's sums and of what comes after them.
pub(super) fn exchanges(
    work: &Work,
    form: Form,
    (network, algorithm): (Network, Algorithm),
    cards: f64,
) -> (f64, f64) {
    let ((sums, shares), round) = (bytes(work, form, cards), rounds(network, algorithm, cards));
    let passes = match form {
        Form::Sharded => 1.0,
        Form::AllReduce => 2.0,
    };
    let sums = passes * buckets(work) * round + sums / bandwidth(network, cards);
    let shared = if shares > 0.0 { round + shares / bandwidth(network, cards) } else { 0.0 };
    // Of a few numbers each, by way of the tree whatever the algorithm of tensors.
    let numbers = NUMBERS * 2.0 * rounds(network, Algorithm::Tree, cards);
    (sums, shared + numbers)
}

/// Seconds of a step of one card, beside those of a step of all, each card with its own batch.
pub(super) fn efficiency(
    work: &Work,
    form: Form,
    by: (Network, Algorithm),
    cards: f64,
    overlap: bool,
) -> f64 {
    let (sums, after) = exchanges(work, form, by, cards);
    // The last part's sums begin when the backward pass is over.
    let hidden = if overlap { sums.min(work.seconds * BACKWARD) * (1.0 - 1.0 / buckets(work)) } else { 0.0 };
    work.seconds / (work.seconds + sums - hidden + after)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sharded_form_sends_two_thirds_of_an_all_reduce_of_three_gradients() {
        let work = &WORKS[1];
        let total = |form| {
            let (sums, shares) = bytes(work, form, 64.0);
            sums + shares
        };
        assert!((total(Form::Sharded) / total(Form::AllReduce) - 2.0 / 3.0).abs() < 1e-12);
        // Of 372 M parameters, 4 bytes each: three gradients and one value.
        assert!((total(Form::Sharded) - 4.0 * 4.0 * 372e6 * 63.0 / 64.0).abs() < 1.0);
    }

    #[test]
    fn more_cards_and_slower_links_cost_more_and_overlap_saves() {
        for work in &WORKS {
            let at = |network, cards: u32, overlap| {
                efficiency(work, Form::Sharded, (network, Algorithm::Tree), cards.into(), overlap)
            };
            for pair in CARDS.windows(2) {
                assert!(at(Network::Ethernet, pair[1], false) <= at(Network::Ethernet, pair[0], false));
            }
            for cards in CARDS {
                assert!(at(Network::NvLink, cards, false) >= at(Network::Ethernet, cards, false));
                let (with, without) =
                    (at(Network::Ethernet, cards, true), at(Network::Ethernet, cards, false));
                assert!(0.0 < without && without < with && with < 1.0, "{without} {with}");
            }
        }
    }

    #[test]
    fn a_ring_of_many_cards_waits_for_its_latency() {
        let seconds =
            |algorithm| exchanges(&WORKS[0], Form::Sharded, (Network::Ethernet, algorithm), 4096.0).0;
        let (ring, tree) = (3584.0 * 3e-6 + 512.0 * 10e-6, 3.0 * 3e-6 + 9.0 * 10e-6);
        let latency = 17.0 * (ring - tree);
        assert!((seconds(Algorithm::Ring) - seconds(Algorithm::Tree) - latency).abs() < 1e-9);
    }
}
