//! The example does what it says, and is as short as it says.

use std::process::Command;

#[test]
fn one_trip_is_confirmed_and_one_is_cancelled() {
    let run = Command::new(env!("CARGO_BIN_EXE_quickstart")).output().unwrap();
    let (out, err) = (String::from_utf8_lossy(&run.stdout), String::from_utf8_lossy(&run.stderr));
    assert!(run.status.success(), "{out}{err}");
    let lines: Vec<&str> = out.lines().collect();
    assert_eq!(
        lines,
        [
            "2 seats: confirmed",
            "6 seats: cancelled, refused: too little money",
            "8 of 10 seats are free, 40 of 100 are in the account",
        ],
        "{err}"
    );
}

#[test]
fn it_fits_on_a_page() {
    assert!(include_str!("../src/main.rs").lines().count() <= 80);
}
