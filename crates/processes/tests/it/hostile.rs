//! Connections that are not of the group: refused by name, without a panic and without waiting for them.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use fairhuman_processes::{JoinError, Launch, Processes, Settings};

use crate::together::{free_port, launch, settings};

/// A whole group of two at a port, with the errors of others that come first.
fn with_others(port: u16, others: impl FnOnce() + Send) -> Vec<String> {
    let (settings, told) = settings();
    std::thread::scope(|scope| {
        let zero = scope.spawn(move || Processes::join(&launch(0, 2, port), &settings).unwrap());
        scope.spawn(others).join().unwrap();
        let one = Processes::join(&launch(1, 2, port), &crate::together::settings().0).unwrap();
        let zero = zero.join().unwrap();
        std::thread::scope(|scope| {
            scope.spawn(move || one.end().unwrap());
            zero.end().unwrap();
        });
    });
    told.lock().unwrap().clone()
}

fn connect(port: u16) -> TcpStream {
    let begin = Instant::now();
    loop {
        match TcpStream::connect(("127.0.0.1", port)) {
            Ok(stream) => return stream,
            Err(error) => assert!(begin.elapsed() < Duration::from_secs(20), "{error}"),
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn refused(launch: &Launch, settings: &Settings) -> String {
    match Processes::join(launch, settings) {
        Err(JoinError::Refused(reason)) => reason,
        Err(error) => panic!("{error}"),
        Ok(_) => panic!("joined"),
    }
}

#[test]
fn strangers_are_refused_and_hold_up_nobody() {
    let port = free_port();
    let mut kept = Vec::new();
    let told = with_others(port, || {
        // A silent one, one that hangs up, a browser, noise, and many bytes.
        kept.push(connect(port));
        drop(connect(port));
        for bytes in
            [&b"GET / HTTP/1.1\r\nHost: here\r\n\r\n"[..], &[0; 4096], &[255; 100_000], b"fairhum\x07"]
        {
            let mut stream = connect(port);
            // Hung up on while it sends.
            let _ = stream.write_all(bytes);
            kept.push(stream);
        }
    });
    assert!(told.iter().any(|line| line.contains("no fairhuman")), "{told:?}");
}

#[test]
fn a_second_process_of_a_rank_is_refused_by_both_names() {
    let port = free_port();
    std::thread::scope(|scope| {
        let zero = scope.spawn(move || Processes::join(&launch(0, 3, port), &settings().0).unwrap());
        let first = scope.spawn(move || Processes::join(&launch(1, 3, port), &settings().0).unwrap());
        std::thread::sleep(Duration::from_millis(500));
        // A thread has the process's number, so another machine's name tells them apart.
        let mut other = settings().0;
        other.host = "there".into();
        let reason = refused(&launch(1, 3, port), &other);
        assert!(reason.contains("rank 1 (there") && reason.contains("came after rank 1 (here"), "{reason}");
        let two = Processes::join(&launch(2, 3, port), &settings().0).unwrap();
        let all = [zero.join().unwrap(), first.join().unwrap(), two];
        for one in all {
            scope.spawn(move || one.end().unwrap());
        }
    });
}

#[test]
fn another_size_run_or_rank_is_refused_and_the_group_comes_together() {
    let port = free_port();
    let told = with_others(port, || {
        let reason = refused(&launch(1, 3, port), &settings().0);
        assert!(reason.contains("one of 3 processes") && reason.contains("as one of 2"), "{reason}");
        let other = Launch { secret: "another".into(), ..launch(1, 2, port) };
        let reason = refused(&other, &settings().0);
        assert!(reason.contains("another run") && reason.contains("FAIRHUMAN_TOKEN"), "{reason}");
        let beyond = Launch { rank: 7, ..launch(1, 2, port) };
        let reason = refused(&beyond, &settings().0);
        assert!(reason.contains("no rank from 1 to 1"), "{reason}");
    });
    assert_eq!(told.len(), 3, "{told:?}");
}

#[test]
fn another_program_ends_the_group_by_name() {
    let port = free_port();
    std::thread::scope(|scope| {
        let zero =
            scope.spawn(move || Processes::join(&launch(0, 2, port), &settings().0).map(drop).unwrap_err());
        let mut other = settings().0;
        other.program = [9; 32];
        let reason = refused(&launch(1, 2, port), &other);
        let error = zero.join().unwrap().to_string();
        assert_eq!(reason, error);
        assert!(error.contains("rank 1 (here") && error.contains("another program"), "{error}");
        assert!(error.contains("09090909") && error.contains("01010101"), "{error}");
    });
}

#[test]
fn a_port_that_is_taken_and_a_program_that_is_none_of_ours_are_named() {
    let port = free_port();
    let other = std::net::TcpListener::bind(("127.0.0.1", port)).unwrap();
    let error = Processes::join(&launch(0, 2, port), &settings().0).map(drop).unwrap_err().to_string();
    assert!(error.contains(&port.to_string()) && error.contains("another port"), "{error}");
    std::thread::spawn(move || {
        while let Ok((mut stream, _)) = other.accept() {
            let _ = stream.read(&mut [0; 64]);
            let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n");
        }
    });
    let (mut settings, _) = settings();
    settings.patience = 1.0;
    let error = Processes::join(&launch(1, 2, port), &settings).map(drop).unwrap_err().to_string();
    assert!(error.contains("no fairhuman"), "{error}");
}
