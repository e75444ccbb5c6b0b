# The bundled model's: hips of any kind of film, and films without a hip.  Started from weights of synthetic films:
#   --cfg-options load_from=hipdet/weights/phantoms.safetensors
_base_ = ["hip_roi_resnet18.py"]

train_cfg = dict(max_epochs=83, val_interval=83)  # of 285 films: as many steps as hipdet fit plans
