"""Golden token ids for the CLIP tokenizer, made by transformers' CLIPTokenizerFast and CLIPTokenizer.

    python reference/tokenizer_golden.py        # transformers 4.57, without ftfy

CLIP's own vocabulary is not in the repository. This script learns a small one of the same form from the text
below and writes it twice: `tokenizer` as SDXL's first tokenizer is stored today (padded with the end token),
`tokenizer_2` as the second one was stored first (padded with "!", no `added_tokens_decoder`). Then it encodes
200 hard strings with both, and with `written`, a folder that the Rust tests made. `slow_differs` marks the strings for which the slow tokenizer gives other ids.
"""

import collections
import json
import pathlib
import random
import unicodedata

import regex
import transformers

OUT = pathlib.Path(__file__).parents[1] / "crates/diffusion/tests/data/tokenizer"
BEGIN, END = "<|startoftext|>", "<|endoftext|>"

CORPUS = """
a portrait photo of a woman with an open hand, smiling at the camera in the morning light
two men shaking hands in front of a house, one of them is wearing a red coat and a hat
the hand of a child holding a small flower; five fingers, all of them well drawn
a girl with long dark hair and freckles is waving with her left hand near the sea
an old man's face, seen from the side, with wrinkles and a white beard, soft light
three friends are sitting on a bench in the park, talking and laughing together
a close-up of a face with green eyes, detailed skin, natural colours, sharp focus
someone's hands on the keys of a piano, seen from above, warm evening light, bokeh
a group of dancers on a stage, their arms raised, their faces lit from below
a drawing of a person pointing at the sky, thumbs up, peace sign, closed fist
high quality, best quality, masterpiece, realistic, 8k, 4k, 35mm, film grain, f/1.8
low quality, worst quality, blurry, bad hands, missing fingers, extra fingers, deformed
it's, don't, we're, they've, i'm, you'll, he'd: the short forms of english
le visage d'une femme à la fenêtre, la lumière d'été, une main posée sur le café
ein mädchen mit großen händen läuft über die straße, schöne grüße aus münchen
el niño pequeño levanta la mano, ¿qué hora es?, mañana por la mañana, ¡olé!
ręka i twarz, zażółć gęślą jaźń, dłonie dziewczyny, święto nad łąką
портрет женщины с открытой ладонью, руки и лица людей, мягкий свет
一个女人的脸和手 在窗边微笑 手指 脸 光 人 手 的 一
笑顔の女の子が手を振っている ひらがな カタカナ 手 顔
여자의 얼굴과 손 사진 햇빛 아래에서 웃는 사람
صورة لوجه امرأة ويد مفتوحة في ضوء الصباح
चेहरा और हाथ की तस्वीर सुबह की रोशनी में
👋 ✋ 🙂 😀 👍 ❤️ 👩‍🎨 🖐🏽 ✌️ 🤝
1 2 3 10 24 50 100 512 768 1024 2048 1990s 2024
""".strip().split("\n")


def byte_symbols():
    """CLIP's printable stand-ins of the 256 bytes, and the byte that each stands for."""
    printable = list(range(ord("!"), ord("~") + 1)) + list(range(0xA1, 0xAD)) + list(range(0xAE, 0x100))
    others = [b for b in range(256) if b not in printable]
    return {b: chr(b) for b in printable} | {b: chr(256 + i) for i, b in enumerate(others)}


def learn(corpus, limit):
    symbols = byte_symbols()
    words = collections.Counter()
    for text in corpus:
        for word in regex.findall(r"'s|'t|'re|'ve|'m|'ll|'d|\p{L}+|\p{N}|[^\s\p{L}\p{N}]+", text.lower()):
            spelt = [symbols[b] for b in word.encode()]
            words[(*spelt[:-1], spelt[-1] + "</w>")] += 1
    merges = []
    while len(merges) < limit:
        pairs = collections.Counter()
        for word, count in words.items():
            for pair in zip(word, word[1:]):
                pairs[pair] += count
        if not pairs:
            break
        best = min(pairs, key=lambda pair: (-pairs[pair], pair))
        merges.append(best)
        joined = collections.Counter()
        for word, count in words.items():
            out, i = [], 0
            while i < len(word):
                if word[i : i + 2] == best:
                    out.append(word[i] + word[i + 1])
                    i += 2
                else:
                    out.append(word[i])
                    i += 1
            joined[tuple(out)] += count
        words = joined
    return list(symbols.values()), merges


def flagged(content, normalized=True, **more):
    return dict(content=content, lstrip=False, normalized=normalized, rstrip=False, single_word=False, **more)


def write_folder(folder, tokens, merges, special, config):
    folder.mkdir(parents=True, exist_ok=True)
    dump = lambda name, value: (folder / name).write_text(json.dumps(value, separators=(",", ":")) + "\n")
    dump("vocab.json", {token: i for i, token in enumerate(tokens)})
    (folder / "merges.txt").write_text("#version: 0.2\n" + "".join(f"{a} {b}\n" for a, b in merges))
    dump("special_tokens_map.json", special)
    dump("tokenizer_config.json", config)


def hard_strings():
    """200 of them; a pair [piece, n] stands for piece * n."""
    texts = [
        "", " ", "\n", "\t \r\n", "a", "A", "hand", "Hand", "HANDS AND FACES", "a photo of a hand",
        "  leading and trailing  ", "many     spaces\tand\ttabs\nand\nlines", "no-break\u00a0space", "thin\u2009space",
        "ideographic\u3000space", "line\u2028separator", "next\u0085line", "vertical\x0btab\x0cfeed", "zero\u200bwidth",
        "word\u2060joiner", "bom\ufeffinside", "\ufeffbom first", "soft\u00adhyphen", "null\x00inside", "bell\x07",
        "escape \x1b[31mred\x1b[0m", "del\x7f", "c1 \x80\x9f", "\u202eright to left\u202c", "replacement \ufffd",
        "it's", "IT'S", "don't", "DON'T", "we're they've i'm you'll he'd", "'s't're", "o'clock 'tis '90s", "it’s",
        "rock'n'roll", "!", "!!", "hello!", "hello ! world", "!hello", "wow!!! so good!!!", "¡hola!", "?!?!", "...",
        "…", "—", "a—b", "(a:1.3), [b], {c}", "a_b_c", "a/b\\c", "50%", "$5.00", "#tag @name", "a&b|c^d~e`f", "<html>",
        "<|startoftext|>", "<|endoftext|>", "<|STARTOFTEXT|>", "a <|endoftext|> b", "a<|endoftext|>b",
        "<|startoftext|>a photo<|endoftext|>", "<|endoftext", "|>", "</w>", "hand</w>", "<pad>", "[PAD]",
        "0", "1234567890", "3.14159", "1,000,000", "½ ¾ ²³", "Ⅷ ⅷ", "①②③", "٣٤٥", "१२३", "四百", "１２３ＡＢＣ",
        "café", "cafe\u0301", "CAFÉ", "naïve façade", "Ångström", "A\u030angstro\u0308m", "ﬁne ﬂow", "ĳssel Ĳ", "Straße",
        "STRASSE ẞ", "İstanbul", "ıIiİ", "ΣΊΣΥΦΟΣ", "Οδυσσεύς", "Ǆ ǅ ǆ", "Größe äöü ÄÖÜ", "zażółć gęślą jaźń", "ñandú",
        "e\u0301\u0302\u0303", "\u0301 lone mark", "q\u0307\u0323", "q\u0323\u0307", "Z\u0351\u036b\u0343a\u0324\u0320lgo\u0489",
        "Привет, мир!", "ПРИВЕТ", "ёж Ёж", "український текст", "Ελληνικά", "עברית", "العربية", "اَلْعَرَبِيَّةُ", "हिन्दी", "বাংলা",
        "தமிழ்", "ไทย", "ภาษาไทย", "မြန်မာ", "ქართული", "ᲥᲐᲠᲗᲣᲚᲘ", "Հայերեն", "ᏣᎳᎩ", "አማርኛ", "ខ្មែរ",
        "你好，世界！", "漢字とひらがな", "カタカナ ｶﾀｶﾅ", "が か\u3099", "한국어", "\u1112\u1161\u11ab\u1100\u116e\u11a8", "𠮷野家", "㍿ ㎏", "手hand手",
        "a手b", "hand手指face脸", "「引用」", "全角！？", "👋", "👋🏽", "👩‍🎨", "👨‍👩‍👧‍👦", "🏳️‍🌈", "🇩🇪🇫🇷", "❤️ ❤", "1️⃣", "😀😀😀", "a😀b",
        "☺︎", "🤷🏿‍♀️ shrug", "𝓯𝓪𝓷𝓬𝔂", "𝟙𝟚𝟛", "ⓗⓐⓝⓓ", "ʰᵃⁿᵈ", "ₕₐₙd", "∑∫√∞", "→←↑↓", "♠♥♦♣", "\U000e0041tag", "\U0001f9d1\u200d\U0001f91d\u200d\U0001f9d1",
        "\uf8ff private", "\U0010ffff", "\ufdd0", "combining\u20dd", "ﷺ", "ﬀ", "ſ", "K Å",
        "masterpiece, best quality, 1girl, solo, long hair, looking at viewer, smile, open hand, 5 fingers, " * 3,
        ", ".join(f"tag {i}" for i in range(60)),
        ["a ", 73], ["a ", 75], ["a ", 76], ["hand ", 2000], ["x", 10000], ["é", 5000], ["手", 10000], ["😀", 2500], ["! ", 5000],
        ["\u0301", 3000], ["a\n", 5000], [" ", 10000], ["<|endoftext|>", 100], ["9", 10000],
    ]
    draw = random.Random(7)
    assigned = [chr(c) for c in range(0x20, 0x30000) if unicodedata.category(chr(c)) not in ("Cn", "Cs", "Co")]
    common = [*"abcdeinorst'!.,- \n", "\u0301", "\u200d", "手", "😀", "É", "ß", "İ"]
    while len(texts) < 200:
        length = draw.randrange(1, 60)
        texts.append("".join(draw.choice(draw.choice([assigned, common])) for _ in range(length)))
    return texts


def main():
    alphabet, merges = learn(CORPUS, 1500)
    tokens = alphabet + [c + "</w>" for c in alphabet]
    tokens += dict.fromkeys(a + b for a, b in merges)
    tokens += [BEGIN, END]
    special = lambda pad: dict(bos_token=flagged(BEGIN), eos_token=flagged(END), pad_token=pad, unk_token=flagged(END))
    decoder = {
        str(len(tokens) - 2): flagged(BEGIN, special=True),
        str(len(tokens) - 1): flagged(END, special=True),
    }
    shared = dict(
        add_prefix_space=False, do_lower_case=True, errors="replace", model_max_length=77, tokenizer_class="CLIPTokenizer"
    )
    now = dict(added_tokens_decoder=decoder, bos_token=BEGIN, eos_token=END, pad_token=END, unk_token=END)
    then = {k: dict(__type="AddedToken", **flagged(v)) for k, v in (("bos_token", BEGIN), ("eos_token", END), ("unk_token", END))}
    write_folder(OUT / "tokenizer", tokens, merges, special(END), shared | now)
    write_folder(OUT / "tokenizer_2", tokens, merges, special("!"), shared | then | dict(pad_token="!"))

    golden = []
    loaded = {
        name: (transformers.CLIPTokenizerFast.from_pretrained(OUT / name), transformers.CLIPTokenizer.from_pretrained(OUT / name))
        for name in ("tokenizer", "tokenizer_2", "written")
    }
    texts = hard_strings()
    assert len(texts) == 200, len(texts)
    for entry in texts:
        text = entry if isinstance(entry, str) else entry[0] * entry[1]
        row = {"text": entry}
        for name, (fast, slow) in loaded.items():
            padded = dict(padding="max_length", max_length=77, truncation=True)
            ids = fast(text, **padded).input_ids
            count = len(fast(text).input_ids)
            assert len(ids) == 77 and ids[min(count, 77) :] == [fast.pad_token_id] * (77 - min(count, 77))
            row[name] = {"ids": ids[: min(count, 77)], "count": count, "slow_differs": slow(text, **padded).input_ids != ids}
        golden.append(row)
    rows = ",\n".join(json.dumps(row, separators=(",", ":")) for row in golden)
    (OUT / "golden.json").write_text(f"[\n{rows}\n]\n")
    for name in loaded:
        print(name, len(loaded[name][0]), "tokens,", sum(row[name]["slow_differs"] for row in golden), "of 200 differ from the slow tokenizer")


main()
