//! A step's pictures may be read while the step before it is computed: that is seen in nothing but time.

use std::ops::Range;
use std::path::{Path, PathBuf};

use fairhuman_diffusion::init::{Preset, init_model};
use fairhuman_engine::{Cpu, DType};
use fairhuman_people::{Options, write_dataset};
use fairhuman_train::data::StepData;
use fairhuman_train::group::Single;
use fairhuman_train::method::{Method, Settings, Visitor};
use fairhuman_train::recipe::Recipe;
use fairhuman_train::session::Session;

const RECIPE: &str = r#"
steps = 9
batch = 2
accumulation = 2
model.path = "tiny"
dataset = { path = "people", captions = { dropout = 0.3 } }
geometry = { width = 32, height = 32, crop = "random", flip = 0.5 }
objective = [{ name = "global" }, { name = "face", mask = "mask_face" }]
"#;

fn world() -> tempfile::TempDir {
    let world = tempfile::tempdir().unwrap();
    init_model(&Cpu::new(1).unwrap(), Preset::Tiny, DType::F32, 0, &world.path().join("tiny")).unwrap();
    let people = Options { count: 6, size: 64, ..Options::default() };
    write_dataset(people, &world.path().join("people"), &mut |_| ()).unwrap();
    world
}

fn recipe(world: &Path, more: &str, name: &str) -> Recipe {
    let path = world.join(name);
    std::fs::write(&path, format!("{RECIPE}{more}")).unwrap();
    let mut recipe = Recipe::read(&path).unwrap();
    recipe.move_to(&path.with_extension("run")).unwrap();
    recipe
}

/// A step that is asked for, and the last one that may be read ahead.
type Asked = (u64, u64);

/// The answers as text, which has every number's digits, and errors as they are.
struct Ask<'a>(&'a Recipe, &'a [Asked]);

impl<'a> Visitor<'a> for Ask<'a> {
    type Output = Vec<Result<String, String>>;

    fn visit<S: Settings>(self, settings: &'a S) -> Self::Output {
        answers::<S::Network<Cpu>>(self.0, settings, self.1)
    }
}

fn answers<M: Method<Cpu>>(
    recipe: &Recipe,
    settings: &M::Settings,
    asked: &[Asked],
) -> Vec<Result<String, String>> {
    let cpu = Cpu::new(2).unwrap();
    let mut run = Session::<Cpu, M>::open(&cpu, recipe, settings, &Single, &mut |_, _, _| Ok(())).unwrap();
    let all = |count: usize| -> Range<usize> { 0..count };
    let text = |data: StepData<M::Inputs>| format!("{:?}", (data.batches, data.first, data.names));
    asked
        .iter()
        .map(|&(step, last)| run.data.step(step, last, all).map(text).map_err(|e| e.to_string()))
        .collect()
}

fn ask(recipe: &Recipe, asked: &[Asked]) -> Vec<Result<String, String>> {
    recipe.method.visit(Ask(recipe, asked))
}

#[test]
fn a_step_has_the_same_data_whether_it_was_read_ahead_or_not() {
    let world = world();
    for (i, more) in
        ["", "method = \"vae\"", "method = \"full\"\nfull = { text_encoders = true }"].iter().enumerate()
    {
        let recipe = recipe(world.path(), more, &format!("{i}.toml"));
        let one_by_one: Vec<Asked> = (1..=5).map(|step| (step, 0)).collect();
        let expected = ask(&recipe, &one_by_one);
        assert!(expected.iter().all(Result::is_ok), "{more}: {expected:?}");
        let ahead: Vec<Asked> = (1..=5).map(|step| (step, 5)).collect();
        assert!(ask(&recipe, &ahead) == expected, "{more}");
        // What was read ahead and is not asked for is dropped.
        let jumps = ask(&recipe, &[(3, 5), (1, 5), (2, 2), (5, 9)]);
        assert!(jumps == [2, 0, 1, 4].map(|i: usize| expected[i].clone()), "{more}");
    }
}

#[test]
fn a_picture_that_cannot_be_read_is_an_error_of_its_own_step() {
    let world = world();
    let recipe = recipe(world.path(), "", "recipe.toml");
    let steps: Vec<Asked> = (1..=3).map(|step| (step, 3)).collect();
    let whole = ask(&recipe, &steps);
    let names: Vec<PathBuf> = std::fs::read_dir(world.path().join("people/images"))
        .unwrap()
        .map(|entry| PathBuf::from("images").join(entry.unwrap().file_name()))
        .collect();
    let in_step = |step: usize, name: &Path| whole[step].as_ref().unwrap().contains(name.to_str().unwrap());
    let late = names.iter().find(|name| !in_step(0, name) && in_step(1, name));
    let late = late.expect("six pictures, four in a step");
    let path = world.path().join("people").join(late);
    let mut bytes = std::fs::read(&path).unwrap();
    let half = bytes.len() / 2;
    bytes[half..half + 64].fill(0);
    std::fs::write(&path, bytes).unwrap();
    let found = ask(&recipe, &steps[..2]);
    assert_eq!(found[0], whole[0]);
    let error = found[1].as_ref().unwrap_err();
    assert!(error.contains(late.to_str().unwrap()), "{error}");
}
