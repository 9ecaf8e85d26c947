//! Mutations can be repeated, and do change files.

use fairhuman_fuzz::mutation;

#[test]
fn a_mutation_depends_on_seeds_seed_and_number_only() {
    let seeds = [b"{\"a\": 12}".to_vec(), vec![0; 64]];
    let all = |seed| (0..50).map(|number| mutation(&seeds, seed, number)).collect::<Vec<_>>();
    assert_eq!(all(1), all(1));
    assert_ne!(all(1), all(2));
    assert_eq!(all(1)[..2], seeds);
    let changed = all(1)[2..].iter().filter(|bytes| !seeds.contains(bytes)).count();
    assert!(changed > 40, "{changed}");
}
