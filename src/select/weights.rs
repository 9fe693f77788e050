//! What each feature counts. Learned from questions and the tools that answer them: `tests/bench/select/README.md`.

use super::features::Feature;

const fn feature(name: &'static str, weight: f32) -> Feature {
    Feature { name, weight }
}

/// What the ranker looks at, in this order.
pub const FEATURES: [Feature; 30] = [
    feature("words", 0.160),
    feature("meaning", 0.704),
    feature("words place", 1.449),
    feature("meaning place", 0.988),
    feature("words beside the best", -0.718),
    feature("meaning beside the best", 0.776),
    feature("wish covered", 4.886),
    feature("wish covered by the name", -2.494),
    feature("name in the wish", 5.548),
    feature("whole name in the wish", -0.172),
    feature("first word", 0.572),
    feature("connector in the wish", 1.248),
    feature("words of a part", -0.019),
    feature("meaning of a part", 0.552),
    feature("place for a part", 0.466),
    feature("length of the description", 0.021),
    feature("parameters", -0.352),
    feature("length of the name", 0.111),
    feature("words in a long wish", -0.073),
    feature("meaning in a long wish", 0.036),
    feature("other tools of the connector", 0.287),
    feature("name's meaning", 0.800),
    feature("name's place", -0.189),
    feature("both", -0.559),
    feature("wish covered by the connector", -2.501),
    feature("wish covered in a long wish", 0.677),
    feature("place for another part", -0.174),
    feature("name in a long wish", -4.782),
    feature("words when there are parts", 0.025),
    feature("meaning when there are parts", -0.067),
];
