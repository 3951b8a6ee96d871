use super::super::fake::{Call, Fault};
use super::{Bench, FakeDisk, reread, story};
use crate::diagnostic::codes;

/// How many calls it takes to tell the story on a healthy disk.
fn healthy_calls() -> usize {
    let disk = FakeDisk::default();
    Bench::new().tell(&disk);
    disk.calls().len()
}

#[test]
fn any_fault_at_any_call_stops_before_the_effect_and_leaves_a_readable_journal() {
    let faults =
        [Fault::Io, Fault::NoSpace, Fault::Short(0), Fault::Short(1), Fault::Short(150), Fault::Killed(90)];
    let bench = Bench::new();
    for n in 0..healthy_calls() {
        for fault in faults {
            let disk = FakeDisk::default();
            disk.fail_at(n, fault);
            let journal = bench.journal(&disk);
            let mut acknowledged = 0;
            let mut failed = None;
            for record in story() {
                match journal.commit(&record) {
                    Ok(seq) => {
                        assert!(failed.is_none(), "nothing is recorded after a failure");
                        acknowledged = seq.0;
                    }
                    Err(error) if failed.is_none() => failed = Some(error),
                    Err(error) => assert_eq!(error.code(), codes::JOURNAL_POISONED),
                }
            }
            let context = format!("{fault:?} at call {n}");
            assert_eq!(failed.map(|e| e.code()), Some(codes::JOURNAL_WRITE), "{context}");
            assert_eq!(disk.calls().len(), n + 1, "{context}: nothing is tried after a failure");
            assert_eq!(journal.state().last().map_or(0, |(seq, _)| seq.0), acknowledged, "{context}");
            drop(journal);

            // After a power cut everything acknowledged is there, and nothing else.
            let durable = reread(&disk.durable()).unwrap();
            assert_eq!((durable.lines, durable.torn), (acknowledged, None), "{context}");

            // Started again, the whole line whose fsync failed may be there too: then it counts, as a doubt.
            let again = FakeDisk::holding(disk.live());
            let (journal, report) = bench.open(&again).unwrap();
            assert!(report.lines == acknowledged || report.lines == acknowledged + 1, "{context}");
            let replayed = reread(&again.durable()).unwrap();
            assert_eq!(replayed.state, *journal.state(), "{context}");
            assert_eq!(replayed.torn, None, "{context}");
        }
    }
}

#[test]
fn a_signal_during_a_write_is_no_failure_and_one_during_an_fsync_is() {
    let bench = Bench::new();
    for n in 0..healthy_calls() {
        let disk = FakeDisk::default();
        disk.fail_at(n, Fault::Interrupted);
        let journal = bench.journal(&disk);
        let failed = story().iter().find_map(|record| journal.commit(record).err());
        let during = disk.calls()[n];
        assert_eq!(failed.is_some(), during == Call::Sync, "{n}: {during:?}");
        if failed.is_none() {
            let lines = reread(&disk.durable()).unwrap().lines;
            assert_eq!(lines, story().len() as u64);
        }
    }
}

#[test]
fn killed_after_every_byte_of_every_record() {
    let bench = Bench::new();
    let told = {
        let disk = FakeDisk::default();
        let journal = bench.journal(&disk);
        for record in story() {
            journal.commit(&record).unwrap();
        }
        disk.live()
    };
    let lengths: Vec<_> = told.split_inclusive(|b| *b == b'\n').map(<[u8]>::len).collect();
    for (index, length) in lengths.iter().enumerate() {
        for bytes in (0..=*length).step_by(41).chain([length - 1, *length]) {
            let disk = FakeDisk::default();
            disk.fail_at(index * 2, Fault::Killed(bytes));
            let journal = bench.journal(&disk);
            let done = story().iter().take_while(|record| journal.commit(record).is_ok()).count();
            assert_eq!(done, index);
            drop(journal);
            let again = FakeDisk::holding(disk.live());
            let (journal, report) = bench.open(&again).unwrap();
            let whole = usize::from(bytes == *length);
            assert_eq!(report.lines as usize, index + whole);
            assert_eq!(report.torn, (bytes > 0 && whole == 0).then_some(bytes as u64));
            assert_eq!(reread(&again.durable()).unwrap().state, *journal.state());
        }
    }
}

#[test]
fn killed_while_a_torn_line_is_cut_off() {
    let bench = Bench::later();
    let disk = FakeDisk::default();
    Bench::new().tell(&disk);
    let mut torn = disk.live();
    torn.truncate(torn.len() - 30);
    // Cut, sync, append, sync: killed in each of them, and then started again.
    for n in 0..4 {
        for fault in [Fault::Killed(20), Fault::Io] {
            let disk = FakeDisk::holding(torn.clone());
            disk.fail_at(n, fault);
            assert_eq!(bench.open(&disk).unwrap_err().code(), codes::JOURNAL_WRITE);
            let again = FakeDisk::holding(disk.live());
            let (journal, _) = bench.open(&again).unwrap();
            assert_eq!(reread(&again.durable()).unwrap().state, *journal.state());
        }
    }
}
