//! SIGKILL of one of several processes while they train, over TCP and over MPI: the others end soon and name
//! it, the same command goes on, and the run ends with the bits of one that nothing happened to.

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};

use super::child::{self, Started};
use super::scene::{RECIPE, Scene};
use super::{Count, Random};

/// Processes of a group, each with one of the three pictures of a step.
const SIZE: usize = 3;
const GROUP: &str = "group.toml";
/// Time in which the others end, as docs/scale.md promises.
const PROMISED: Duration = Duration::from_secs(30);
/// The longest time that a run may take.
const LIMIT: Duration = Duration::from_secs(300);
/// Steps of the recipe after which a process may be killed. Ten more are left.
const STEPS: usize = 50;

pub(super) fn run(scene: &Scene, random: &mut Random, times: usize) -> anyhow::Result<Vec<Count>> {
    let recipe = RECIPE.replace("batch = 2", &format!("batch = 1\naccumulation = {SIZE}"));
    std::fs::write(scene.path(GROUP), recipe)?;
    let mut counts = kill_often(scene, random, times, &Way::Tcp)?;
    match mpirun() {
        Ok(mpirun) => counts.extend(kill_often(scene, random, times, &Way::Mpi(mpirun))?),
        Err(reason) => {
            let mut count = Count::new(Way::Mpi(PathBuf::new()).promises()[0]);
            count.note = Some(format!("not tried: {reason}"));
            counts.push(count);
        }
    }
    Ok(counts)
}

/// A launcher of MPI, or why there is none.
fn mpirun() -> Result<PathBuf, &'static str> {
    if !Path::new("/proc/self/environ").exists() {
        return Err("ranks are found in /proc, which this system has not");
    }
    let paths = std::env::var_os("PATH").unwrap_or_default();
    let mut files = std::env::split_paths(&paths).map(|path| path.join("mpirun"));
    let named = std::env::var_os("FAIRHUMAN_MPIRUN").map(PathBuf::from);
    let found = named.or_else(|| files.find(|file| file.is_file()));
    found.ok_or("no mpirun (Debian: openmpi-bin), and FAIRHUMAN_MPIRUN names none")
}

/// The counts of one way: ended, named, resumed.
fn kill_often(scene: &Scene, random: &mut Random, times: usize, way: &Way) -> anyhow::Result<Vec<Count>> {
    let [mut ended, mut named, mut resumed] = way.promises().map(Count::new);
    let (whole, killed) = (way.run("whole"), way.run("killed"));
    way.start(scene, &whole)?.finish(scene)?;
    let (mut longest, mut hangs) = (Duration::ZERO, 0);
    for i in 0..times {
        let (victim, step) = (i % SIZE, 1 + random.below(STEPS) as u64);
        let name = format!("rank {victim} after step {step}");
        scene.remove(&killed)?;
        let mut group = way.start(scene, &killed)?;
        let process = match group.reach(scene, &killed, step).and_then(|()| group.process(victim)) {
            Ok(process) => process,
            Err(error) => {
                ended.add(&name, Err(error));
                continue;
            }
        };
        std::thread::sleep(Duration::from_millis(random.below(20) as u64));
        child::send_to(process, libc::SIGKILL)?;
        match group.wait(PROMISED)? {
            Some(time) => {
                longest = longest.max(time);
                ended.add(&name, Ok(()));
                named.add(&name, group.expect_named(scene, victim, process));
            }
            None => {
                hangs += 1;
                ended.add(
                    &name,
                    Err(anyhow::anyhow!("not within {} s: {}", PROMISED.as_secs(), group.tail())),
                );
            }
        }
        drop(group);
        let again = way.start(scene, &killed)?.finish(scene);
        resumed.add(&name, again.and_then(|()| scene.expect_same_as(&killed, &whole)));
    }
    ended.note =
        Some(format!("{times} kills, {hangs} hangs, the longest end {:.2} s", longest.as_secs_f64()));
    Ok(vec![ended, named, resumed])
}

/// The way in which processes are started and meet.
enum Way {
    /// Each by itself.
    Tcp,
    /// By this launcher.
    Mpi(PathBuf),
}

impl Way {
    /// The promises that are counted.
    fn promises(&self) -> [&'static str; 3] {
        match self {
            Way::Tcp => [
                "one of 3 processes killed, over TCP: the others end within 30 s",
                "one of 3 processes killed, over TCP: each of the others names it",
                "one of 3 processes killed, over TCP: the same command goes on, to the same bits",
            ],
            Way::Mpi(_) => [
                "one of 3 processes killed, over MPI: the others end within 30 s",
                "one of 3 processes killed, over MPI: the others name it",
                "one of 3 processes killed, over MPI: the same command goes on, to the same bits",
            ],
        }
    }

    /// The folder of a run.
    fn run(&self, name: &str) -> String {
        format!("{name}-{}", if matches!(self, Way::Tcp) { "tcp" } else { "mpi" })
    }

    /// Starts all processes of a group.
    fn start(&self, scene: &Scene, run: &str) -> anyhow::Result<Group> {
        let arguments = ["train", GROUP, "--threads", "1", "--out", run];
        // A port that nobody listens at; its number also tells this group's processes from others.
        let port = TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port();
        let token = format!("faults-{}-{port}", std::process::id());
        let (master, world) = (format!("127.0.0.1:{port}"), SIZE.to_string());
        let commands: Vec<Started> = match self {
            Way::Tcp => {
                let one = |rank: usize| {
                    let mut command = scene.command(&arguments);
                    command.args(["--rank", &rank.to_string(), "--world", &world, "--master", &master]);
                    child::start(command.env(TOKEN, &token))
                };
                (0..SIZE).map(one).collect::<anyhow::Result<_>>()?
            }
            Way::Mpi(mpirun) => {
                let mut command = Command::new(mpirun);
                // Open MPI's: root in a container, and more processes than cores.
                command.env("OMPI_ALLOW_RUN_AS_ROOT", "1").env("OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1");
                command.env("OMPI_MCA_rmaps_base_oversubscribe", "1");
                command.args(["-n", &world]).arg(&scene.binary).args(arguments).env(TOKEN, &token);
                command.current_dir(scene.path("")).env("XDG_CACHE_HOME", scene.path("user-cache"));
                vec![child::start(&mut command)?]
            }
        };
        Ok(Group { commands, token })
    }
}

/// The variable by which the processes of a group are known.
const TOKEN: &str = "FAIRHUMAN_TOKEN";

/// The processes of a group: a command for each, or mpirun's.
struct Group {
    commands: Vec<Started>,
    token: String,
}

impl Group {
    fn is_over(&mut self) -> anyhow::Result<bool> {
        for command in &mut self.commands {
            if command.child.try_wait()?.is_none() {
                return Ok(false);
            }
        }
        Ok(self.commands.len() > 1 || ranks(&self.token).is_empty())
    }

    /// Waits until all processes have ended, and says how long that took; none: some have not.
    fn wait(&mut self, limit: Duration) -> anyhow::Result<Option<Duration>> {
        let begin = Instant::now();
        while !self.is_over()? {
            if begin.elapsed() > limit {
                return Ok(None);
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(Some(begin.elapsed()))
    }

    /// Waits until the run has made a step.
    fn reach(&mut self, scene: &Scene, run: &str, step: u64) -> anyhow::Result<()> {
        let begin = Instant::now();
        while scene.logged_steps(run) < step {
            ensure!(!self.is_over()? && begin.elapsed() < LIMIT, "step {step} was not made: {}", self.tail());
            std::thread::sleep(Duration::from_millis(2));
        }
        Ok(())
    }

    /// Waits until the run is done.
    fn finish(mut self, scene: &Scene) -> anyhow::Result<()> {
        ensure!(self.wait(LIMIT)?.is_some(), "not done after {} s: {}", LIMIT.as_secs(), self.tail());
        for command in &mut self.commands {
            let (status, said) = (command.child.wait()?, command.said()?);
            scene.panics.check(status, &said)?;
            ensure!(status.success(), "{status}: {}", child::tail(&said));
        }
        Ok(())
    }

    /// The process of a rank.
    fn process(&self, rank: usize) -> anyhow::Result<u32> {
        match &self.commands[..] {
            [_] => {
                ranks(&self.token).get(&rank).copied().with_context(|| format!("no process of rank {rank}"))
            }
            commands => Ok(commands[rank].child.id()),
        }
    }

    /// An error unless all others ended with an error that names the one that was killed, and none crashed.
    fn expect_named(&mut self, scene: &Scene, victim: usize, process: u32) -> anyhow::Result<()> {
        let is_one = self.commands.len() == 1;
        for (rank, command) in self.commands.iter_mut().enumerate() {
            if rank == victim && !is_one {
                continue;
            }
            let (status, said) = (command.child.wait()?, command.said()?);
            scene.panics.check(status, &said)?;
            ensure!(!status.success(), "{status}");
            // Open MPI's words for a crash.
            if let Some(line) = said.lines().find(|line| line.contains("Process received signal")) {
                bail!("a crash: {line}");
            }
            let is_named = |line: &str| {
                line.contains(&format!("rank {victim} ("))
                    && line.contains(&format!("process {process}) is gone"))
            };
            ensure!(said.lines().any(is_named), "it is not named: {}", child::tail(&said));
        }
        Ok(())
    }

    /// The last words of all.
    fn tail(&self) -> String {
        let said = |command: &Started| child::tail(&command.said().unwrap_or_default()).to_owned();
        self.commands.iter().map(said).collect::<Vec<_>>().join("; ")
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // Those that mpirun started outlive it where they hang.
        for process in ranks(&self.token).into_values() {
            let _ = child::send_to(process, libc::SIGKILL);
        }
    }
}

/// The processes that a launcher of MPI started for a group, by their ranks.
fn ranks(token: &str) -> BTreeMap<usize, u32> {
    let token = format!("{TOKEN}={token}");
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let found = entries.filter_map(|entry| {
        let process = entry.file_name().to_str()?.parse().ok()?;
        let environment = std::fs::read(entry.path().join("environ")).ok()?;
        let environment = String::from_utf8_lossy(&environment);
        let mut variables = environment.split('\0');
        let of = |name: &str| environment.split('\0').find_map(|variable| variable.strip_prefix(name));
        let rank = of("OMPI_COMM_WORLD_RANK=").or_else(|| of("PMI_RANK="))?;
        variables.any(|variable| variable == token).then_some((rank.parse().ok()?, process))
    });
    found.collect()
}
