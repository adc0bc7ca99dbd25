//! Single-byte character sets whose bytes are commonly mistaken for UTF-8's.
//!
//! The tables are those of the Unicode consortium's mapping files; a byte that a Windows code page
//! leaves unassigned stands for the Latin-1 control of the same number, as ftfy's "sloppy" codecs
//! have it.

/// A single-byte character set: ASCII below 0x80, a table of 128 characters above.
pub(super) struct Charmap {
    pub(super) name: CharmapName,
    upper_half: &'static str,
    /// What byte 0x1A stands for: U+FFFD where the set is lenient, else itself.
    substitute: char,
}

/// A lenient set also takes U+FFFD, the trace of a byte that somebody could not decode.
const fn lenient(name: CharmapName, upper_half: &'static str) -> Charmap {
    Charmap { name, upper_half, substitute: char::REPLACEMENT_CHARACTER }
}

const fn strict(name: CharmapName, upper_half: &'static str) -> Charmap {
    Charmap { name, upper_half, substitute: '\u{1a}' }
}

/// The sets to try, in ftfy's order.
pub(super) const CHARMAPS: [Charmap; 10] = [
    strict(CharmapName::Latin1, LATIN_1),
    lenient(CharmapName::Windows1252, WINDOWS_1252),
    lenient(CharmapName::Windows1251, WINDOWS_1251),
    lenient(CharmapName::Windows1250, WINDOWS_1250),
    lenient(CharmapName::Windows1253, WINDOWS_1253),
    lenient(CharmapName::Windows1254, WINDOWS_1254),
    lenient(CharmapName::Windows1257, WINDOWS_1257),
    strict(CharmapName::Iso8859Part2, ISO_8859_2),
    strict(CharmapName::MacRoman, MAC_ROMAN),
    strict(CharmapName::Cp437, CP437),
];

/// The name of a [`Charmap`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CharmapName {
    Latin1,
    Windows1252,
    Windows1251,
    Windows1250,
    Windows1253,
    Windows1254,
    Windows1257,
    Iso8859Part2,
    MacRoman,
    Cp437,
}

impl Charmap {
    /// Whether U+FFFD has a byte in this set.
    pub(super) fn is_lenient(&self) -> bool {
        self.substitute == char::REPLACEMENT_CHARACTER
    }

    /// Whether the set resembles Latin-1: letters from 0xC0 on, signs between 0xA0 and 0xBF.
    pub(super) fn is_latin_like(&self) -> bool {
        self.is_lenient() || self.name == CharmapName::Latin1
    }

    /// The bytes that this set writes `text` with, or `None` when it lacks one of the characters.
    pub(super) fn encode(&self, text: &str) -> Option<Vec<u8>> {
        text.chars().map(|c| self.encode_char(c)).collect()
    }

    fn encode_char(&self, c: char) -> Option<u8> {
        if c == self.substitute {
            return Some(0x1A);
        }
        match u8::try_from(c) {
            Ok(0x1A) => None,
            Ok(byte) if byte.is_ascii() => Some(byte),
            _ => {
                let index = self.upper_half.chars().position(|candidate| candidate == c)?;
                u8::try_from(0x80 + index).ok()
            }
        }
    }

    /// The characters of the bytes from 0x80 on, in order.
    pub(super) fn upper_half(&self) -> impl Iterator<Item = char> {
        self.upper_half.chars()
    }
}

/// What Windows-1252 shows for a C1 control: U+0080 is `€`, and so on.
pub(super) fn windows_1252_of_control(control: char) -> Option<char> {
    let index = u32::from(control).checked_sub(0x80)?;
    (index < 0x20).then(|| WINDOWS_1252.chars().nth(index as usize)).flatten()
}

/// Latin-1 bytes read as Windows-1252, or `None` when a byte is unassigned there.
pub(super) fn latin_1_as_windows_1252(text: &str) -> Option<String> {
    text.chars()
        .map(|c| match windows_1252_of_control(c) {
            Some(shown) if shown == c => None,
            Some(shown) => Some(shown),
            None => Some(c),
        })
        .collect()
}

const LATIN_1: &str = "\
    \u{80}\u{81}\u{82}\u{83}\u{84}\u{85}\u{86}\u{87}\u{88}\u{89}\u{8a}\u{8b}\u{8c}\u{8d}\u{8e}\u{8f}\
    \u{90}\u{91}\u{92}\u{93}\u{94}\u{95}\u{96}\u{97}\u{98}\u{99}\u{9a}\u{9b}\u{9c}\u{9d}\u{9e}\u{9f}\
    \u{a0}¡¢£¤¥¦§¨©ª«¬\u{ad}®¯°±²³´µ¶·¸¹º»¼½¾¿\
    ÀÁÂÃÄÅÆÇÈÉÊËÌÍÎÏÐÑÒÓÔÕÖ×ØÙÚÛÜÝÞß\
    àáâãäåæçèéêëìíîïðñòóôõö÷øùúûüýþÿ";
const WINDOWS_1252: &str = "\
    €\u{81}‚ƒ„…†‡ˆ‰Š‹Œ\u{8d}Ž\u{8f}\u{90}‘’“”•–—˜™š›œ\u{9d}žŸ\
    \u{a0}¡¢£¤¥¦§¨©ª«¬\u{ad}®¯°±²³´µ¶·¸¹º»¼½¾¿\
    ÀÁÂÃÄÅÆÇÈÉÊËÌÍÎÏÐÑÒÓÔÕÖ×ØÙÚÛÜÝÞß\
    àáâãäåæçèéêëìíîïðñòóôõö÷øùúûüýþÿ";
const WINDOWS_1251: &str = "\
    ЂЃ‚ѓ„…†‡€‰Љ‹ЊЌЋЏђ‘’“”•–—\u{98}™љ›њќћџ\
    \u{a0}ЎўЈ¤Ґ¦§Ё©Є«¬\u{ad}®Ї°±Ііґµ¶·ё№є»јЅѕї\
    АБВГДЕЖЗИЙКЛМНОПРСТУФХЦЧШЩЪЫЬЭЮЯ\
    абвгдежзийклмнопрстуфхцчшщъыьэюя";
const WINDOWS_1250: &str = "\
    €\u{81}‚\u{83}„…†‡\u{88}‰Š‹ŚŤŽŹ\u{90}‘’“”•–—\u{98}™š›śťžź\
    \u{a0}ˇ˘Ł¤Ą¦§¨©Ş«¬\u{ad}®Ż°±˛ł´µ¶·¸ąş»Ľ˝ľż\
    ŔÁÂĂÄĹĆÇČÉĘËĚÍÎĎĐŃŇÓÔŐÖ×ŘŮÚŰÜÝŢß\
    ŕáâăäĺćçčéęëěíîďđńňóôőö÷řůúűüýţ˙";
const WINDOWS_1253: &str = "\
    €\u{81}‚ƒ„…†‡\u{88}‰\u{8a}‹\u{8c}\u{8d}\u{8e}\u{8f}\u{90}‘’“”•–—\u{98}™\u{9a}›\u{9c}\u{9d}\u{9e}\u{9f}\
    \u{a0}΅Ά£¤¥¦§¨©ª«¬\u{ad}®―°±²³΄µ¶·ΈΉΊ»Ό½ΎΏ\
    ΐΑΒΓΔΕΖΗΘΙΚΛΜΝΞΟΠΡÒΣΤΥΦΧΨΩΪΫάέήί\
    ΰαβγδεζηθικλμνξοπρςστυφχψωϊϋόύώÿ";
const WINDOWS_1254: &str = "\
    €\u{81}‚ƒ„…†‡ˆ‰Š‹Œ\u{8d}\u{8e}\u{8f}\u{90}‘’“”•–—˜™š›œ\u{9d}\u{9e}Ÿ\
    \u{a0}¡¢£¤¥¦§¨©ª«¬\u{ad}®¯°±²³´µ¶·¸¹º»¼½¾¿\
    ÀÁÂÃÄÅÆÇÈÉÊËÌÍÎÏĞÑÒÓÔÕÖ×ØÙÚÛÜİŞß\
    àáâãäåæçèéêëìíîïğñòóôõö÷øùúûüışÿ";
const WINDOWS_1257: &str = "\
    €\u{81}‚\u{83}„…†‡\u{88}‰\u{8a}‹\u{8c}¨ˇ¸\u{90}‘’“”•–—\u{98}™\u{9a}›\u{9c}¯˛\u{9f}\
    \u{a0}¡¢£¤¥¦§Ø©Ŗ«¬\u{ad}®Æ°±²³´µ¶·ø¹ŗ»¼½¾æ\
    ĄĮĀĆÄÅĘĒČÉŹĖĢĶĪĻŠŃŅÓŌÕÖ×ŲŁŚŪÜŻŽß\
    ąįāćäåęēčéźėģķīļšńņóōõö÷ųłśūüżž˙";
const ISO_8859_2: &str = "\
    \u{80}\u{81}\u{82}\u{83}\u{84}\u{85}\u{86}\u{87}\u{88}\u{89}\u{8a}\u{8b}\u{8c}\u{8d}\u{8e}\u{8f}\
    \u{90}\u{91}\u{92}\u{93}\u{94}\u{95}\u{96}\u{97}\u{98}\u{99}\u{9a}\u{9b}\u{9c}\u{9d}\u{9e}\u{9f}\
    \u{a0}Ą˘Ł¤ĽŚ§¨ŠŞŤŹ\u{ad}ŽŻ°ą˛ł´ľśˇ¸šşťź˝žż\
    ŔÁÂĂÄĹĆÇČÉĘËĚÍÎĎĐŃŇÓÔŐÖ×ŘŮÚŰÜÝŢß\
    ŕáâăäĺćçčéęëěíîďđńňóôőö÷řůúűüýţ˙";
const MAC_ROMAN: &str = "\
    ÄÅÇÉÑÖÜáàâäãåçéèêëíìîïñóòôöõúùûü\
    †°¢£§•¶ß®©™´¨≠ÆØ∞±≤≥¥µ∂∑∏π∫ªºΩæø\
    ¿¡¬√ƒ≈∆«»…\u{a0}ÀÃÕŒœ–—“”‘’÷◊ÿŸ⁄€‹›ﬁﬂ\
    ‡·‚„‰ÂÊÁËÈÍÎÏÌÓÔ\u{f8ff}ÒÚÛÙıˆ˜¯˘˙˚¸˝˛ˇ";
const CP437: &str = "\
    ÇüéâäàåçêëèïîìÄÅÉæÆôöòûùÿÖÜ¢£¥₧ƒ\
    áíóúñÑªº¿⌐¬½¼¡«»░▒▓│┤╡╢╖╕╣║╗╝╜╛┐\
    └┴┬├─┼╞╟╚╔╩╦╠═╬╧╨╤╥╙╘╒╓╫╪┘┌█▄▌▐▀\
    αßΓπΣσµτΦΘΩδ∞φε∩≡±≥≤⌠⌡÷≈°∙·√ⁿ²■\u{a0}";
