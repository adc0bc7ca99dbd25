//! Tells whether a text looks like mojibake: text whose bytes were read in the wrong character set.
//!
//! The rules are the heuristic of ftfy 6.3 (Robyn Speer, `ftfy/badness.py`): the few hundred
//! characters that mojibake is made of fall into classes, and certain neighbours almost never occur
//! in text that was meant.

use std::sync::LazyLock;

use regex::Regex;

/// The classes, each the inside of a bracket expression; `RULES` names them in braces.
const CLASSES: [(&str, &str); 14] = [
    // In many contexts; not suspicious by themselves.
    ("{common}", r"\u{a0}\u{ad}·´–—―…’"),
    // C1 controls have no use left outside mojibake.
    ("{c1}", r"\u{80}-\u{9f}"),
    // Seen almost in mojibake alone.
    ("{bad}", r"¦¤¨¬¯¸ƒˆˇ˘˛˜†‡‰⌐◊\u{fffd}ªº"),
    ("{law}", "¶§"),
    ("{currency}", "¢£¥₧€"),
    ("{start}", r"¡«¿©\u{384}\u{385}‘‚“„•‹\u{f8ff}"),
    ("{end}", "®»˝”›™"),
    ("{numeric}", "²³¹±¼½¾×µ÷⁄∂∆∏∑√∞∩∫≈≠≡≤≥№"),
    // Letters of emoticon faces, which stand in odd company on purpose.
    ("{kaomoji}", "Ò-ÖÙ-Üò-öø-üŐŌŪŲ°"),
    ("{upper}", "À-ÑØÜÝĂĀĄĆČĎĐĘĚĒĖĞĢİĪĶĹĽŁĻŃŇŅŒŘŚŞŠŢŤŮŰŸŹŻŽҐ"),
    ("{lower}", "ßà-ñăąāćčďđęěēėğģįīķĺľłļœŕśşšťüźżžґﬁﬂ"),
    ("{upper_common}", "ÞΑ-ΩΆΈΉΊΌΎΏΪΫЁ-Я"),
    ("{lower_common}", "α-ωάέήίΰа-џ"),
    ("{box}", "│┌┐┘├┤┬┼═-╬▀▄█▌▐░▒▓"),
];

/// Neighbours that betray mojibake.
const RULES: [&str; 34] = [
    "[{c1}]",
    "[{bad}{lower}{upper}{box}{start}{end}{currency}{numeric}{law}][{bad}]",
    "[a-zA-Z][{lower_common}{upper_common}][{bad}]",
    "[{bad}][{lower}{upper}{box}{start}{end}{currency}{numeric}{law}]",
    "[{lower}{lower_common}{box}{end}{currency}{numeric}][{upper}]",
    "[{box}{end}{currency}{numeric}][{lower}]",
    "[{lower}{box}{end}][{currency}]",
    // Python's \s has the four information separators too.
    r"[\s\x1c-\x1f][{upper}][{currency}]",
    "[{upper}{box}][{numeric}{law}]",
    "[{lower}{upper}{box}{currency}{end}][{start}][{numeric}]",
    "[{lower}{upper}{currency}{numeric}{box}{law}][{end}][{start}]",
    "[{currency}{numeric}{box}][{start}]",
    "[a-z][{upper}][{start}{currency}]",
    "[{box}][{kaomoji}]",
    "[{lower}{upper}{currency}{numeric}{start}{end}{law}][{box}]",
    "[{box}][{end}]",
    // Python's \w: letters, numbers of every kind, the underscore.
    r"[{lower}{upper}][{start}{end}][\p{L}\p{N}_]",
    // The ligature œ where no plain Latin letter follows.
    "[Œœ][^A-Za-z]",
    // A degree sign after a capital.
    "[{upper}]°",
    // UTF-8 read as Windows-1252: pairs that the rules above let through.
    r"[ÂÃÎÐ][€œŠš¢£Ÿž\u{a0}\u{ad}®©°·»{start}{end}–—´]",
    "×[²³]",
    // Arabic so read. Its second characters are common ones, hence two pairs.
    "[ØÙ][{common}{currency}{bad}{numeric}{start}ŸŠ®°µ»][ØÙ][{common}{currency}{bad}{numeric}{start}ŸŠ®°µ»]",
    // South Asian scripts so read.
    "à[²µ¹¼½¾]",
    // UTF-8 read as Mac Roman.
    "√[±∂†≠®™´≤≥¥µø]|≈[°¢]|‚Ä[ìîïòôúùû†°¢π]|‚[âó][àä°ê]",
    // U+2000 and following, read as Windows-1251.
    "вЂ",
    // Latin-1 letters or Cyrillic read as Windows-1251, where the pairs alone are common.
    "[ВГРС][{c1}{bad}{start}{end}{currency}°µ][ВГРС]",
    "ГўВЂВ.[A-Za-z ]",
    // à and á in Windows-1252, with the no-break space perhaps already a plain one.
    r"Ã[\u{a0}¡]",
    r"[a-z][\s\x1c-\x1f]?[ÃÂ] ",
    "^[ÃÂ] ",
    // Â before a character that it encodes as itself.
    "[a-z.,?!{end}]Â[ {start}{end}]",
    // U+2000 and following, read as Windows-1253.
    r"β€[™\u{a0}Ά\u{ad}®°]",
    // Latin-1 letters or Greek read as Windows-1253.
    "[ΒΓΞΟ][{c1}{bad}{start}{end}{currency}°][ΒΓΞΟ]",
    // U+2000 and following, read as Windows-1257.
    "ā€",
];

static SUSPICIOUS: LazyLock<Regex> = LazyLock::new(|| {
    let mut pattern = RULES.join("|");
    for (name, class) in CLASSES {
        pattern = pattern.replace(name, class);
    }
    Regex::new(&pattern).expect("the rules form a valid expression")
});

/// Whether some neighbours in `text` are likelier mojibake than meant.
pub(super) fn is_suspicious(text: &str) -> bool {
    SUSPICIOUS.is_match(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mojibake_is_told_from_accents() {
        for text in ["donâ€™t", "Ã©", "schÃ¶n", "Ğ¾", "Â°C", "â€œ", "вЂњ"] {
            assert!(is_suspicious(text), "{text}");
        }
        for text in [
            "",
            "liver",
            "œdème",
            "naïve Übergröße",
            "30 °C",
            "α-synuclein",
            "肺結節",
            "¿Qué?",
            "5 µm ± 2",
        ] {
            assert!(!is_suspicious(text), "{text}");
        }
    }
}
