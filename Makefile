# Every target prepares what it needs: .venv for all, Debian packages for `test`. A second run finds it done.

.PHONY: help demo test verify bench firmware clean

help:
	@echo "make demo      probes on the sample firmware, in the embedded emulator"
	@echo "make test      everything a change must pass"
	@echo "make verify    the long differential sweeps"
	@echo "make bench     figures: instructions and time per hit, probes per second, bytes per probe"
	@echo "make firmware  rebuild the sample firmware"
	@echo "make clean     remove the environment and all caches"

demo:
	@scripts/venv.sh
	.venv/bin/armprobe demo

test:
	@scripts/venv.sh dev
	@scripts/system-packages.sh
	@scripts/fetch-debian.sh
	@scripts/fetch-kernel.sh
	.venv/bin/ruff check
	.venv/bin/ruff format --check
	.venv/bin/mypy --strict src
	.venv/bin/lint-imports
	.venv/bin/pytest -n 2 --dist worksteal

verify:
	@scripts/venv.sh dev
	@scripts/system-packages.sh
	@scripts/fetch-kernel.sh
	.venv/bin/armprobe verify
	.venv/bin/python -m armprobe.verification.patchmodel --cores 3 --passes 2
	ARMPROBE_CORES=3 .venv/bin/pytest -q tests/verification/patchmodel/test_plans.py
	.venv/bin/python -m armprobe.verification.stress --toggles 100000
	ARMPROBE_CACHE=$(CURDIR)/.cache/debian .venv/bin/python -m armprobe.verification.kernelsites
	ARMPROBE_CACHE=$(CURDIR)/.cache/debian .venv/bin/python -m armprobe.verification.kernelsites --module virtio_net
	ARMPROBE_ROUNDS=200 .venv/bin/pytest -q --log-cli-level=INFO tests/integration/test_kernel_rounds.py
	ARMPROBE_ROUNDS=50 .venv/bin/pytest -q -k 'again_and_again or every_instruction' tests/integration/test_kernel_modules.py

bench:
	@scripts/venv.sh dev
	.venv/bin/python benchmarks/hits.py
	.venv/bin/python benchmarks/register.py
	.venv/bin/python benchmarks/kernel_hit_cost.py
	.venv/bin/python benchmarks/kernel_register.py
	.venv/bin/python benchmarks/process_hit_cost.py
	.venv/bin/python benchmarks/gdbserver_call_cost.py
	.venv/bin/python benchmarks/frida_hit_cost.py
	.venv/bin/python benchmarks/decode.py

firmware:
	src/armprobe/demo/build.sh

clean:
	rm -rf .venv .cache .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache dist build
	find src tests scripts -name __pycache__ -type d -prune -exec rm -rf {} +
