"""Real encoders, a few kilobytes large, written to disk as their publishers write them."""

from __future__ import annotations

import json
from pathlib import Path

import torch

from pixelflow.system import torchvision_compat

SENTENCES = [
    "a red circle above a blue square",
    "three yellow crosses on a grey background",
    "a photo of two dogs in the snow",
    "a red house",
]

TEMPLATE = "{% for turn in messages %}<s>{{ turn.role }}: {{ turn.content }}</s>{% endfor %}<s>assistant:"


def make_t5(folder: Path, dim: int = 32) -> Path:
    """A whole T5 (encoder and decoder, as hubs hold it): config.json, model.safetensors, tokenizer files."""
    torchvision_compat.make_importable()
    from tokenizers import Tokenizer, models, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast, T5Config, T5ForConditionalGeneration

    tokens = Tokenizer(models.Unigram())
    tokens.pre_tokenizer = pre_tokenizers.Metaspace()
    specials = ["<pad>", "</s>", "<unk>"]
    tokens.train_from_iterator(
        SENTENCES * 5, trainers.UnigramTrainer(vocab_size=80, special_tokens=specials, unk_token="<unk>")
    )
    tokens.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    fast = PreTrainedTokenizerFast(tokenizer_object=tokens, pad_token="<pad>", eos_token="</s>", unk_token="<unk>")
    fast.save_pretrained(folder)
    torch.manual_seed(0)
    config = T5Config(
        vocab_size=len(fast), d_model=dim, d_kv=8, d_ff=64, num_layers=2, num_heads=4, dense_act_fn="gelu_new",
        feed_forward_proj="gated-gelu",
    )  # fmt: skip
    T5ForConditionalGeneration(config).save_pretrained(folder)
    return folder


def make_sentence(folder: Path, longest: int = 40) -> Path:
    """A whole BERT without its pooling layer: config.json, model.safetensors, tokenizer files."""
    torchvision_compat.make_importable()
    from tokenizers import BertWordPieceTokenizer
    from transformers import BertConfig, BertModel, BertTokenizerFast

    words = BertWordPieceTokenizer()
    words.train_from_iterator(SENTENCES * 5, vocab_size=120, show_progress=False)
    folder.mkdir(parents=True, exist_ok=True)
    words.save_model(str(folder))
    BertTokenizerFast.from_pretrained(folder).save_pretrained(folder)
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=words.get_vocab_size(), hidden_size=32, num_hidden_layers=2, num_attention_heads=4,
        intermediate_size=64, max_position_embeddings=longest,
    )  # fmt: skip
    BertModel(config, add_pooling_layer=False).save_pretrained(folder)
    return folder


def make_clip(folder: Path, width: int = 32, context: int = 20) -> Path:
    """A whole CLIP (both towers): open_clip_config.json and open_clip_model.safetensors."""
    torchvision_compat.make_importable()
    import open_clip
    from safetensors.torch import save_file

    config = {
        "embed_dim": 24,
        "vision_cfg": {"image_size": 8, "layers": 1, "width": 64, "patch_size": 4},
        "text_cfg": {"context_length": context, "vocab_size": 49408, "width": width, "heads": 4, "layers": 2},
    }
    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(0)
    (folder / "open_clip_config.json").write_text(json.dumps({"model_cfg": config, "preprocess_cfg": {}}))
    save_file(open_clip.CLIP(**config).state_dict(), folder / "open_clip_model.safetensors")
    return folder


def make_chat_model(folder: Path, template: str | None = TEMPLATE) -> Path:
    """A whole instruction model (Llama's architecture): config.json, model.safetensors, tokenizer files, template."""
    torchvision_compat.make_importable()
    from tokenizers import ByteLevelBPETokenizer
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    tokens = ByteLevelBPETokenizer()
    tokens.train_from_iterator(SENTENCES * 5, vocab_size=300, special_tokens=["<s>", "</s>"], show_progress=False)
    fast = PreTrainedTokenizerFast(tokenizer_object=tokens._tokenizer, bos_token="<s>", eos_token="</s>")
    fast.chat_template = template
    fast.save_pretrained(folder)
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(fast), hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4,
        max_position_embeddings=512, bos_token_id=fast.bos_token_id, eos_token_id=fast.eos_token_id,
    )  # fmt: skip
    LlamaForCausalLM(config).save_pretrained(folder)
    return folder


def make_dinov2(folder: Path) -> Path:
    """A whole DINOv2: config.json and model.safetensors."""
    torchvision_compat.make_importable()
    from transformers import Dinov2Config, Dinov2Model

    torch.manual_seed(0)
    config = Dinov2Config(hidden_size=16, num_hidden_layers=1, num_attention_heads=2, mlp_ratio=2, image_size=28)
    Dinov2Model(config).save_pretrained(folder)
    return folder
