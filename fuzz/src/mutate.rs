//! Changes to JSON that leave it JSON, so that a fuzzer gets beyond its syntax.

use serde_json::{Value, json};

/// Another document made of `data`, or none when that is not JSON. Equal seeds give equal changes.
pub fn json(data: &[u8], seed: u32) -> Option<Vec<u8>> {
    let mut document: Value = serde_json::from_slice(data).ok()?;
    let mut chance = Chance(u64::from(seed) | 1 << 40);
    for _ in 0..=chance.below(3) {
        let other = pick(&mut document, &mut chance).clone();
        change(pick(&mut document, &mut chance), other, &mut chance);
    }
    serde_json::to_vec(&document).ok()
}

/// Numbers that look random. Source: Marsaglia, Xorshift RNGs, 2003.
struct Chance(u64);

impl Chance {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 33).map_or(0, |number| number % end.max(1))
    }
}

/// A value somewhere in `document`; deep ones are as likely as others.
fn pick<'v>(document: &'v mut Value, chance: &mut Chance) -> &'v mut Value {
    let mut left = chance.below(size(document));
    let mut at = document;
    while left > 0 {
        left -= 1;
        let children: Vec<&mut Value> = match at {
            Value::Array(items) => items.iter_mut().collect(),
            Value::Object(members) => members.values_mut().collect(),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Vec::new(),
        };
        let mut found = None;
        for child in children {
            let below = size(child);
            if left < below {
                found = Some(child);
                break;
            }
            left -= below;
        }
        match found {
            Some(child) => at = child,
            None => unreachable!("a size is that of all children"),
        }
    }
    at
}

fn size(value: &Value) -> usize {
    let below: usize = match value {
        Value::Array(items) => items.iter().map(size).sum(),
        Value::Object(members) => members.values().map(size).sum(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => 0,
    };
    below + 1
}

/// Values that mean something somewhere.
fn words() -> Vec<Value> {
    let texts =
        ["", "*", "/", "*.a", "a.b", "default", "mesh", "10.0.0.0/8", "::1", "(a|b)*", "x:y"];
    let numbers = [0, 1, 80, 100, 443, 599, 65_535, 65_536, u64::MAX];
    let mut all = vec![Value::Null, json!([]), json!({}), json!(true), json!(-1), json!(0.5)];
    all.extend(texts.map(Value::from));
    all.extend(numbers.map(Value::from));
    all
}

fn change(value: &mut Value, other: Value, chance: &mut Chance) {
    let words = words();
    let word = words[chance.below(words.len())].clone();
    match (chance.below(5), &mut *value) {
        (0, Value::Array(items)) if !items.is_empty() => {
            items.remove(chance.below(items.len()));
        }
        (1, Value::Array(items)) => items.push(other),
        (0, Value::Object(members)) if !members.is_empty() => {
            let name = members.keys().nth(chance.below(members.len())).cloned();
            members.remove(&name.unwrap_or_default());
        }
        (0 | 1, Value::String(text)) => {
            let piece = other.as_str().or(word.as_str()).unwrap_or_default().to_owned();
            let at = chance.below(text.chars().count() + 1);
            let at = text.char_indices().nth(at).map_or(text.len(), |(at, _)| at);
            text.insert_str(at, &piece);
        }
        (2, _) => *value = other,
        _ => *value = word,
    }
}
