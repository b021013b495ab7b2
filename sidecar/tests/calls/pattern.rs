//! What the table expects of an answer: scalars equal, lists element by element, objects with at least the fields given;
//! `"$any"` is anything, any other `"$NAME"` is what it was when it was first seen.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

/// What names stand for.
pub type Names = BTreeMap<String, Value>;

/// Holds an answer against a pattern.
pub fn compare(pattern: &Value, answer: &Value, names: &mut Names) -> Result<(), String> {
    match (pattern, answer) {
        (Value::String(text), _) if text == "$any" => Ok(()),
        (Value::String(text), _) if text.starts_with('$') => {
            let known = names.entry(text[1..].to_owned()).or_insert_with(|| answer.clone());
            if known == answer { Ok(()) } else { Err(format!("{text} is {known}, not {answer}")) }
        }
        (Value::Object(fields), Value::Object(found)) => fields.iter().try_for_each(|(key, field)| {
            let found = found.get(key).ok_or_else(|| format!("no {key} in {answer}"))?;
            compare(field, found, names).map_err(|fault| format!("{key}: {fault}"))
        }),
        (Value::Array(elements), Value::Array(found)) if elements.len() == found.len() => {
            elements.iter().zip(found).try_for_each(|(element, found)| compare(element, found, names))
        }
        _ if pattern == answer => Ok(()),
        _ => Err(format!("{answer} where {pattern} was expected")),
    }
}

/// An argument with names replaced by what they stand for, and `{"$repeat": [TEXT, TIMES]}` by that.
pub fn substitute(argument: &Value, names: &Names) -> Value {
    match argument {
        Value::String(text) if text.starts_with('$') => {
            names.get(&text[1..]).cloned().unwrap_or_else(|| panic!("nothing is bound to {text}"))
        }
        Value::Array(elements) => elements.iter().map(|element| substitute(element, names)).collect(),
        Value::Object(fields) => match fields.get("$repeat") {
            Some(repeated) => {
                let times = usize::try_from(repeated[1].as_u64().unwrap()).unwrap();
                repeated[0].as_str().unwrap().repeat(times).into()
            }
            None => fields.iter().map(|(key, field)| (key.clone(), substitute(field, names))).collect(),
        },
        _ => argument.clone(),
    }
}

/// What kinds of values an answer has, and where: that much is alike whoever answers.
pub fn shape(answer: &Value) -> Value {
    let kind = match answer {
        Value::Object(fields) => {
            return fields.iter().map(|(key, field)| (key.clone(), shape(field))).collect::<Map<_, _>>().into();
        }
        Value::Array(elements) => return elements.iter().map(shape).collect(),
        Value::Null => "nothing",
        Value::Bool(_) => "truth",
        Value::Number(_) => "number",
        Value::String(_) => "text",
    };
    kind.into()
}

#[test]
fn what_differs_is_seen() {
    let json = |text: &str| serde_json::from_str::<Value>(text).unwrap();
    let answer = json(r#"{"a": [1, "x"], "b": {"c": null}, "d": 7, "e": 7}"#);
    let holds = |pattern: &str| compare(&json(pattern), &answer, &mut Names::new()).is_ok();
    assert!(holds(r#"{"a": [1, "$any"], "b": {}, "d": "$n", "e": "$n"}"#));
    let wrong = [
        r#"{"a": [1]}"#,
        r#"{"a": [2, "x"]}"#,
        r#"{"a": "$n", "d": "$n"}"#,
        r#"{"b": null}"#,
        r#"{"b": {"c": 0}}"#,
        r#"{"f": "$any"}"#,
        "[]",
    ];
    assert!(wrong.iter().all(|pattern| !holds(pattern)));
}
