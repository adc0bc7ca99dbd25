use serde_json::json;

use super::*;

fn entry(item: &str, key: u64, outcome: Outcome) -> Entry {
    Entry { item: item.into(), key: ItemKey(key), outcome, seconds: 0.5 }
}

fn failed(reason: &str) -> Outcome {
    Outcome::Failed { reason: reason.into() }
}

fn journal_path(folder: &Path) -> PathBuf {
    folder.join(FOLDER).join("journal-1-of-1.jsonl")
}

#[test]
fn what_was_done_is_known_after_a_kill_at_any_byte() {
    let folder = tempfile::tempdir().unwrap();
    let settings = json!({"threshold": 0.5});
    let mut journal = Journal::open(folder.path(), Shard::WHOLE, &settings).unwrap();
    journal.add(entry("a", 1, Outcome::Done { length: Some(10) })).unwrap();
    journal.add(entry("b", 2, failed("it is a PDF"))).unwrap();
    journal.add(entry("c", 3, Outcome::Done { length: Some(30) })).unwrap();
    drop(journal);
    let path = journal_path(folder.path());
    let whole = std::fs::read(&path).unwrap();
    let ends: Vec<usize> = whole
        .iter()
        .enumerate()
        .filter(|(_, byte)| **byte == b'\n')
        .map(|(at, _)| at + 1)
        .collect();
    for cut in 0..=whole.len() {
        std::fs::write(&path, &whole[..cut]).unwrap();
        let mut journal = Journal::open(folder.path(), Shard::WHOLE, &settings).unwrap();
        let lines = ends.iter().filter(|end| **end <= cut).count();
        assert_eq!(journal.is_done(ItemKey(1)), lines > 1, "cut at {cut}");
        assert_eq!(journal.failures().len(), usize::from(lines > 2), "cut at {cut}");
        assert_eq!(journal.is_done(ItemKey(3)), lines > 3, "cut at {cut}");
        assert_eq!(journal.rows_length(), [0, 0, 10, 10, 30][lines], "cut at {cut}");
        journal.add(entry("d", 4, Outcome::Done { length: None })).unwrap();
        drop(journal);
        let journal = Journal::open(folder.path(), Shard::WHOLE, &settings).unwrap();
        assert!(journal.is_done(ItemKey(4)), "a line written after a cut at {cut} is whole");
    }
}

#[test]
fn a_failure_is_forgotten_once_the_item_is_done() {
    let folder = tempfile::tempdir().unwrap();
    let mut journal = Journal::open(folder.path(), Shard::WHOLE, &json!({})).unwrap();
    journal.add(entry("a", 1, failed("no such file"))).unwrap();
    assert_eq!(journal.failures(), [("a", "no such file")]);
    assert!(!journal.is_done(ItemKey(1)));
    journal.add(entry("a", 1, Outcome::Done { length: None })).unwrap();
    drop(journal);
    let journal = Journal::open(folder.path(), Shard::WHOLE, &json!({})).unwrap();
    assert!(journal.failures().is_empty() && journal.is_done(ItemKey(1)));
}

#[test]
fn other_settings_and_a_second_run_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let journal = Journal::open(folder.path(), Shard::WHOLE, &json!({"threshold": 0.5})).unwrap();
    let error = Journal::open(folder.path(), Shard::WHOLE, &json!({"threshold": 0.5})).unwrap_err();
    assert!(matches!(error, JournalError::Busy { .. }), "{error}");
    drop(journal);
    let other = json!({"threshold": 0.6});
    let error = Journal::open(folder.path(), Shard::WHOLE, &other).unwrap_err().to_string();
    assert!(error.contains("was begun with threshold 0.5, and not with 0.6"), "{error}");
    let error = Journal::open(folder.path(), "1/2".parse().unwrap(), &other).unwrap_err();
    assert!(matches!(error, JournalError::OtherSettings { .. }), "{error}");
}

#[test]
fn shards_know_what_others_did_but_own_their_rows_and_failures() {
    let folder = tempfile::tempdir().unwrap();
    let [first, second] = ["1/2", "2/2"].map(|shard| shard.parse().unwrap());
    let mut journal = Journal::open(folder.path(), first, &json!({})).unwrap();
    journal.add(entry("a", 1, Outcome::Done { length: Some(10) })).unwrap();
    journal.add(entry("b", 2, failed("broken"))).unwrap();
    let mut other = Journal::open(folder.path(), second, &json!({})).unwrap();
    assert!(other.is_done(ItemKey(1)));
    assert_eq!((other.rows_length(), other.failures().len()), (0, 0));
    other.keep_only(|done| done.own);
    assert!(!other.is_done(ItemKey(1)));
}

#[test]
fn a_line_that_no_kill_explains_is_named() {
    let folder = tempfile::tempdir().unwrap();
    drop(Journal::open(folder.path(), Shard::WHOLE, &json!({})).unwrap());
    let path = journal_path(folder.path());
    let mut text = std::fs::read_to_string(&path).unwrap();
    text.push_str("{\"item\": 7}\n");
    std::fs::write(&path, text).unwrap();
    let error = Journal::open(folder.path(), Shard::WHOLE, &json!({})).unwrap_err().to_string();
    assert!(error.contains("line 2: not a line that this version writes"), "{error}");
}
