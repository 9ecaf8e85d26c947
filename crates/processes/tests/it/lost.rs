//! Processes that end, die, stand still or stay away: nobody waits for ever, and messages name them.

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use fairhuman_processes::{JoinError, Processes};

use crate::together::{free_port, launch, run, settings};

/// Makes a test run as a process of a group: `PORT RANK SIZE`.
const CHILD: &str = "FAIRHUMAN_TEST_CHILD";

/// Not a test of its own: the process that tests below start, which sums numbers until it is ended.
#[test]
fn child() {
    let Ok(words) = std::env::var(CHILD) else { return };
    let words: Vec<usize> = words.split(' ').map(|word| word.parse().unwrap()).collect();
    let [port, rank, size] = words[..] else { panic!("{words:?}") };
    let group = Processes::join(&launch(rank, size, port as u16), &settings().0).unwrap();
    println!("joined");
    let failed = loop {
        let mut numbers = vec![1.0; 1000];
        if let Err(problem) = group.sum_numbers(&mut numbers) {
            break problem;
        }
    };
    println!("failed: {failed}");
}

fn spawn(port: u16, rank: usize, size: usize) -> Child {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "lost::child", "--nocapture"]).env(CHILD, format!("{port} {rank} {size}"));
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap()
}

#[test]
fn a_killed_process_ends_all_others_with_its_name() {
    // At once, and in the middle of exchanges.
    for pause in [0, 300, 700] {
        let port = free_port();
        let mut children: Vec<Child> = (1..4).map(|rank| spawn(port, rank, 4)).collect();
        let (settings, _) = settings();
        let group = Processes::join(&launch(0, 4, port), &settings).unwrap();
        // By then all have joined.
        group.sum_numbers(&mut [1.0; 1000]).unwrap();
        let (victim, begin) = (children[1].id(), Instant::now());
        let mut killed = None;
        let problem = loop {
            if killed.is_none() && begin.elapsed() >= Duration::from_millis(pause) {
                children[1].kill().unwrap();
                killed = Some(Instant::now());
            }
            if let Err(problem) = group.sum_numbers(&mut [1.0; 1000]) {
                break problem;
            }
        };
        let named = format!("rank 2 (here, process {victim}) is gone");
        assert_eq!(problem, named);
        for rank in [0, 2] {
            let output = children.remove(rank.min(children.len() - 1)).wait_with_output().unwrap();
            let said = String::from_utf8_lossy(&output.stdout).into_owned();
            assert!(said.contains(&format!("failed: {named}")), "rank {}: {said}", rank + 1);
        }
        children.into_iter().for_each(|mut child| drop(child.wait()));
        assert!(killed.unwrap().elapsed() < Duration::from_secs(10));
    }
}

#[test]
fn an_error_of_one_process_ends_the_others_with_its_words() {
    for failing in [0, 1] {
        let words = run(3, |group| {
            if group.rank() == failing {
                // By then all have joined.
                group.sum_numbers(&mut [1.0]).unwrap();
                let told = group.fail("cannot read people/00001.png");
                // Process 0 has nobody else to tell it.
                assert_eq!(told, failing != 0);
                return String::new();
            }
            let problem = loop {
                if let Err(problem) = group.sum_numbers(&mut [1.0]) {
                    break problem;
                }
            };
            // The others know already.
            group.fail(&problem);
            problem
        });
        for (rank, words) in words.iter().enumerate().filter(|(rank, _)| *rank != failing) {
            let (begin, end) = (format!("rank {failing} (here, process "), ": cannot read people/00001.png");
            assert!(words.starts_with(&begin) && words.ends_with(end), "rank {rank}: {words}");
        }
    }
}

#[test]
fn a_process_that_ends_early_is_named() {
    let words = run(3, |group| match group.rank() {
        1 => group.end().map(|()| String::new()).unwrap_or_else(|problem| problem),
        _ => {
            let problem = group.sum_numbers(&mut [1.0]).unwrap_err();
            group.fail(&problem);
            problem
        }
    });
    assert!(words[0].starts_with("rank 1 (here") && words[0].contains("ended after exchange 1"), "{words:?}");
    assert!(words[1].contains("ended after exchange 1") && words[2].contains("ended after exchange 1"));
}

#[cfg(unix)]
#[test]
fn a_suspended_process_is_told_of_and_goes_on_when_it_wakes() {
    let port = free_port();
    let mut child = spawn(port, 1, 2);
    let (mut settings, told) = settings();
    settings.told_after = 3.0;
    let group = Processes::join(&launch(0, 2, port), &settings).unwrap();
    group.sum_numbers(&mut vec![1.0; 1000]).unwrap();
    let signal = |name: &str| {
        let id = child.id().to_string();
        assert!(Command::new("kill").args([name, &id]).status().unwrap().success());
    };
    signal("-STOP");
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| (0..3).try_for_each(|_| group.sum_numbers(&mut vec![1.0; 1000])));
        let begin = Instant::now();
        while told.lock().unwrap().is_empty() && begin.elapsed() < Duration::from_secs(20) {
            std::thread::sleep(Duration::from_millis(50));
        }
        signal("-CONT");
        waiting.join().unwrap().unwrap();
    });
    let lines = told.lock().unwrap().clone();
    let expected = format!("rank 1 (here, process {})", child.id());
    assert!(
        lines.iter().any(|line| line.contains(&expected) && line.contains("the others wait")),
        "{lines:?}"
    );
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn a_slow_process_is_told_of() {
    let port = free_port();
    std::thread::scope(|scope| {
        scope.spawn(move || {
            let group = Processes::join(&launch(1, 2, port), &settings().0).unwrap();
            std::thread::sleep(Duration::from_secs(5));
            group.sum_numbers(&mut [1.0]).unwrap();
            group.end().unwrap();
        });
        let (mut settings, told) = settings();
        settings.told_after = 2.0;
        let group = Processes::join(&launch(0, 2, port), &settings).unwrap();
        group.sum_numbers(&mut [1.0]).unwrap();
        let lines = told.lock().unwrap().clone();
        assert!(
            lines.len() == 1
                && lines[0].starts_with("rank 1 (here, process ")
                && lines[0].contains("exchange 2"),
            "{lines:?}"
        );
        group.end().unwrap();
    });
}

#[test]
fn processes_that_stay_away_are_named_to_those_that_came() {
    let port = free_port();
    let ends: Vec<(JoinError, String)> = std::thread::scope(|scope| {
        let join = move |rank| {
            let (mut settings, told) = settings();
            (settings.patience, settings.missed_after) = (3.0, 1.5);
            let error = Processes::join(&launch(rank, 4, port), &settings).map(drop).unwrap_err();
            (error, told.lock().unwrap().join("\n"))
        };
        let ranks: Vec<_> = [0, 2].map(|rank| scope.spawn(move || join(rank))).into_iter().collect();
        ranks.into_iter().map(|rank| rank.join().unwrap()).collect()
    });
    for (error, _) in &ends {
        assert!(error.to_string().contains("ranks 1, 3 did not come within 3 s"), "{error}");
    }
    // Those that waited were told for whom, once.
    let [(JoinError::Missing { .. }, zero), (JoinError::Told(_), two)] = &ends[..] else {
        panic!("{ends:?}")
    };
    let (begin, end) =
        ("rank 0 waits at 127.0.0.1:", " for 2 of 3 other processes: ranks 1, 3; gives up in ");
    assert!(zero.starts_with(begin) && zero.contains(end) && zero.lines().count() == 1, "{zero}");
    assert!(two.starts_with("waits with rank 0 (here, process ") && two.lines().count() == 1, "{two}");

    let (mut settings, told) = settings();
    (settings.patience, settings.missed_after) = (1.0, 0.1);
    let error = Processes::join(&launch(1, 2, free_port()), &settings).map(drop).unwrap_err().to_string();
    assert!(error.contains("rank 1: process 0 cannot be reached at 127.0.0.1:"), "{error}");
    let told = told.lock().unwrap().clone();
    assert!(
        told[0].contains("waits for rank 0 at 127.0.0.1:") && told[0].contains("; gives up in "),
        "{told:?}"
    );
}

#[test]
fn a_process_that_was_ended_while_it_waited_may_come_again() {
    let port = free_port();
    let mut first = spawn(port, 1, 3);
    std::thread::scope(|scope| {
        let join = move |rank| Processes::join(&launch(rank, 3, port), &settings().0).unwrap();
        let zero = scope.spawn(move || join(0));
        std::thread::sleep(Duration::from_secs(1));
        first.kill().unwrap();
        first.wait().unwrap();
        let one = scope.spawn(move || join(1));
        let two = join(2);
        for one in [zero.join().unwrap(), one.join().unwrap(), two] {
            scope.spawn(move || one.end().unwrap());
        }
    });
}
